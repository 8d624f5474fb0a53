/* GET /openapi.json: the specification of what is served, kept beside the routes; test_openapi.c compares the two. */
#include <string.h>

#include "api/handlers.h"
#include "api/request.h"

#define REF(name) "{\"$ref\":\"#/components/schemas/" name "\"}"
#define OK(text, schema) \
    "\"200\":{\"description\":\"" text "\",\"content\":{\"application/json\":{\"schema\":" schema "}}}"
#define PROBLEM "\"default\":{\"description\":\"a problem (RFC 9457)\",\"content\":{\"application/problem+json\":" \
                "{\"schema\":" REF("Problem") "}}}"
#define ANSWERS(text, schema) "\"responses\":{" OK(text, schema) "," PROBLEM "}"
#define IN_PATH(name, type) \
    "{\"name\":\"" name "\",\"in\":\"path\",\"required\":true,\"schema\":{\"type\":\"" type "\"}}"
#define IN_QUERY(name, schema) "{\"name\":\"" name "\",\"in\":\"query\",\"schema\":" schema "}"
#define MODEL_PARAMETER "\"parameters\":[" IN_PATH("model", "string") "]"
#define EXPERT_PARAMETERS "\"parameters\":[" IN_PATH("model", "string") "," IN_PATH("id", "integer") "]"
#define JSON_BODY(schema) "\"requestBody\":{\"content\":{\"application/json\":{\"schema\":" schema "}}}"
#define RECORDS_BODY(schema) \
    "\"requestBody\":{\"required\":true,\"content\":{\"application/json\":{\"schema\":" schema "}," \
    "\"application/x-ndjson\":{\"schema\":" REF("Record") "}}}"
#define OBJECT "{\"type\":\"object\"}"
#define STRING "{\"type\":\"string\"}"
#define INTEGER "{\"type\":\"integer\"}"
#define NUMBER "{\"type\":\"number\"}"
#define BOOLEAN "{\"type\":\"boolean\"}"
#define ARRAY(items) "{\"type\":\"array\",\"items\":" items "}"
#define WHOLE(name) "\"" name "\":" INTEGER ","
#define REAL(name) "\"" name "\":" NUMBER ","
#define NULLABLE(name, type) "\"" name "\":{\"type\":[\"" type "\",\"null\"]},"
#define TOLD(name, type) "\"" name "\":{\"type\":" type ",\"readOnly\":true},"
#define PROBE(path, text) "\"" path "\":{\"get\":{\"summary\":\"" text "\"," ANSWERS(text, OBJECT) "}}"
#define TOP "{\"type\":\"integer\",\"minimum\":1,\"maximum\":256,\"default\":5}"
#define TIMEOUT "{\"type\":\"integer\",\"minimum\":0,\"maximum\":600000,\"default\":10000}"

static const char specification[] =
    "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Atoll\",\"version\":\"1\",\"description\":\"A prediction service "
    "that never stops learning.\"},\"paths\":{"
    "\"/v1/models\":{\"get\":{\"summary\":\"Names, versions and sizes of the models\","
    ANSWERS("the models", "{\"type\":\"object\",\"properties\":{\"models\":" ARRAY(REF("Model")) "}}") "}},"
    "\"/v1/models/{model}\":{" MODEL_PARAMETER ","
    "\"get\":{\"summary\":\"Configuration and state\"," ANSWERS("the model", REF("Model")) "},"
    "\"put\":{\"summary\":\"Create, or change what may change live\"," JSON_BODY(OBJECT) ",\"responses\":{"
    "\"201\":{\"description\":\"created\",\"content\":{\"application/json\":{\"schema\":" REF("Model") "}}},"
    OK("changed", REF("Model")) "," PROBLEM "}},"
    "\"delete\":{\"summary\":\"Remove\","
    ANSWERS("removed", "{\"type\":\"object\",\"properties\":{\"removed\":" STRING "}}") "}},"
    "\"/v1/models/{model}/ingest\":{" MODEL_PARAMETER ",\"post\":{\"summary\":\"Learn from records\",\"parameters\":["
    IN_QUERY("wait", "{\"enum\":[\"durable\",\"trained\"]}") "],"
    RECORDS_BODY("{\"type\":\"object\",\"required\":[\"records\"],\"properties\":{\"records\":"
                 ARRAY(REF("Record")) "}}")
    "," ANSWERS("durable, or learned", REF("Ingested")) "}},"
    "\"/v1/models/{model}/predict\":{" MODEL_PARAMETER ",\"post\":{\"summary\":\"Predict labels; NDJSON in gives "
    "NDJSON out\",\"parameters\":[" IN_QUERY("top", TOP) "," IN_QUERY("explain", BOOLEAN) ","
    IN_QUERY("min_version", INTEGER) "," IN_QUERY("timeout_ms", TIMEOUT) "],"
    RECORDS_BODY("{\"type\":\"object\",\"required\":[\"records\"],\"properties\":{\"records\":" ARRAY(REF("Record"))
                 ",\"top\":" TOP ",\"explain\":" BOOLEAN ",\"min_version\":" INTEGER ",\"timeout_ms\":" TIMEOUT "}}")
    ",\"responses\":{\"200\":{\"description\":\"predictions in the order of the records\",\"content\":{"
    "\"application/json\":{\"schema\":" REF("Predicted") "},"
    "\"application/x-ndjson\":{\"schema\":" REF("PredictedLine") "}}}," PROBLEM "}}},"
    "\"/v1/models/{model}/experts\":{" MODEL_PARAMETER ",\"get\":{\"summary\":\"The experts\","
    ANSWERS("the experts", "{\"type\":\"object\",\"properties\":{\"model\":" STRING ",\"experts\":" ARRAY(REF("Expert"))
            "}}") "}},"
    "\"/v1/models/{model}/experts/{id}\":{" EXPERT_PARAMETERS ",\"get\":{\"summary\":\"One expert\","
    ANSWERS("the expert", REF("Expert")) "}},"
    "\"/v1/models/{model}/experts/{id}/restore\":{" EXPERT_PARAMETERS ",\"post\":{\"summary\":\"Bring an archived "
    "expert back\"," ANSWERS("the expert", REF("Expert")) "}},"
    "\"/v1/models/{model}/prune\":{" MODEL_PARAMETER ",\"post\":{\"summary\":\"Archive idle experts and merge those of "
    "one domain now\","
    JSON_BODY("{\"type\":\"object\",\"properties\":{\"dry_run\":" BOOLEAN "}}") ","
    ANSWERS("what was taken out, or would be archived", "{\"type\":\"object\",\"properties\":{\"model\":" STRING
            ",\"dry_run\":" BOOLEAN ",\"version\":" INTEGER ",\"pruned\":"
            ARRAY("{\"type\":\"object\",\"properties\":{\"id\":" INTEGER ",\"reason\":" STRING "}}") "}}") "}},"
    "\"/v1/models/{model}/schedule\":{" MODEL_PARAMETER ",\"get\":{\"summary\":\"When pruning runs\","
    ANSWERS("the schedule", REF("Schedule")) "},\"put\":{\"summary\":\"Change when pruning runs\","
    JSON_BODY(REF("Schedule")) "," ANSWERS("the schedule", REF("Schedule")) "}},"
    "\"/v1/models/{model}/stats\":{" MODEL_PARAMETER ",\"get\":{\"summary\":\"Accuracy, routing and sizes\","
    ANSWERS("the statistics", REF("Stats")) "}},"
    "\"/metrics\":{\"get\":{\"summary\":\"Prometheus text format 0.0.4\",\"responses\":{\"200\":{\"description\":\"the "
    "series\",\"content\":{\"text/plain\":{}}}}}},"
    PROBE("/healthz", "the state of the models") ","
    PROBE("/livez", "the process answers") ","
    "\"/readyz\":{\"get\":{\"summary\":\"requests are welcome\",\"responses\":{" OK("they are", OBJECT)
    ",\"503\":{\"description\":\"starting, or draining\",\"content\":{\"application/json\":{\"schema\":" OBJECT
    "}}}}}},"
    PROBE("/openapi.json", "this specification") ","
    "\"/\":{\"get\":{\"summary\":\"a page with live statistics\",\"responses\":{\"200\":{\"description\":\"the page\","
    "\"content\":{\"text/html\":{}}}}}}"
    "},\"components\":{\"schemas\":{"
    "\"Record\":{\"type\":\"object\",\"description\":\"text, and a vector or tokens, or one of them; label where it "
    "is to be learned\",\"properties\":{\"id\":" STRING ",\"text\":" STRING ",\"vector\":" ARRAY(NUMBER)
    ",\"tokens\":" ARRAY(ARRAY(NUMBER)) ",\"label\":" STRING ",\"domain\":" STRING ",\"time\":{}}},"
    "\"Ingested\":{\"type\":\"object\",\"properties\":{\"accepted\":" INTEGER ",\"rejected\":" INTEGER ",\"errors\":"
    ARRAY("{\"type\":\"object\",\"properties\":{\"line\":" INTEGER ",\"code\":" STRING ",\"error\":" STRING "}}")
    ",\"first_seq\":" INTEGER ",\"last_seq\":" INTEGER ",\"version\":" INTEGER "}},"
    "\"Predicted\":{\"type\":\"object\",\"properties\":{\"model\":" STRING ",\"version\":" INTEGER ",\"predictions\":"
    ARRAY(REF("Prediction")) "}},"
    "\"PredictedLine\":{\"type\":\"object\",\"description\":\"a prediction with model and version, or what is wrong "
    "with the line\",\"properties\":{\"model\":" STRING ",\"version\":" INTEGER ",\"line\":" INTEGER ",\"code\":" STRING
    ",\"error\":" STRING "},\"allOf\":[" REF("Prediction") "]},"
    "\"Prediction\":{\"type\":\"object\",\"properties\":{\"id\":{\"type\":[\"string\",\"null\"]},\"prediction_id\":"
    STRING
    ",\"label\":{\"type\":[\"string\",\"null\"]},\"score\":{\"type\":[\"number\",\"null\"]},\"labels\":"
    ARRAY("{\"type\":\"object\",\"properties\":{\"label\":" STRING ",\"score\":" NUMBER "}}")
    ",\"novelty\":" NUMBER ",\"abstain\":" BOOLEAN
    ",\"degraded\":{\"enum\":[\"embedding_unreachable\",\"embedding_refused\"]},\"experts\":"
    ARRAY("{\"type\":\"object\",\"properties\":{\"id\":" INTEGER ",\"version\":" INTEGER ",\"weight\":" NUMBER "}}")
    ",\"neighbours\":"
    ARRAY("{\"type\":\"object\",\"properties\":{\"id\":{\"type\":[\"string\",\"null\"]},\"label\":" STRING
          ",\"similarity\":" NUMBER "}}")
    ",\"voices\":{\"type\":\"object\",\"additionalProperties\":" STRING "},\"token_count\":" INTEGER ",\"tokens\":"
    ARRAY("{\"type\":\"object\",\"properties\":{\"word\":" STRING ",\"vector\":" INTEGER ",\"experts\":"
          ARRAY("{\"type\":\"object\",\"properties\":{\"id\":" INTEGER ",\"weight\":" NUMBER "}}")
          ",\"refused\":" ARRAY(INTEGER) ",\"dropped\":" BOOLEAN "}}") "}},"
    "\"Expert\":{\"type\":\"object\",\"properties\":{\"id\":" INTEGER ",\"version\":" INTEGER
    ",\"state\":{\"enum\":[\"shared\",\"candidate\",\"active\",\"archived\"]},\"labels\":" ARRAY(STRING)
    ",\"label_count\":" INTEGER ",\"domain\":{\"type\":[\"string\",\"null\"]},\"born\":" INTEGER
    ",\"parameters\":" INTEGER
    ",\"bytes\":" INTEGER ",\"active_parameters\":" INTEGER ",\"active_bytes\":" INTEGER
    ",\"records\":" INTEGER ",\"exemplars\":" INTEGER ",\"share\":" NUMBER
    ",\"entropy\":" NUMBER ",\"overflowed\":" INTEGER ",\"dropped\":" INTEGER
    ",\"last_routed\":{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}"
    ",\"loss\":" NUMBER ",\"drift\":" NUMBER ",\"latency\":" NUMBER "}},"
    "\"Model\":{\"type\":\"object\",\"properties\":{\"name\":" STRING ","
    WHOLE("version") WHOLE("records") WHOLE("labels") WHOLE("domains") WHOLE("exemplars") WHOLE("vector_dim")
    "\"experts\":{\"type\":\"object\",\"additionalProperties\":" INTEGER "},"
    WHOLE("parameters") WHOLE("active_parameters") WHOLE("parameter_bytes") WHOLE("active_bytes") WHOLE("bytes")
    WHOLE("backlog")
    "\"state\":{\"enum\":[\"ready\",\"learning\",\"waiting\",\"failed\"]}," NULLABLE("failure", "string")
    "\"config\":" OBJECT "}},"
    "\"Stats\":{\"type\":\"object\",\"properties\":{\"model\":" STRING ","
    WHOLE("version") WHOLE("journal_last") WHOLE("backlog") WHOLE("records") WHOLE("labels") WHOLE("named_domains")
    WHOLE("exemplars") WHOLE("vector_dim")
    REAL("prequential") REAL("prequential_recent") REAL("log_loss") REAL("calibration_error") REAL("no_change")
    REAL("weight_shared") REAL("weight_experts") REAL("weight_votes") REAL("weight_counts") REAL("weight_analytic")
    REAL("weight_youth") REAL("weight_names")
    WHOLE("predictions") WHOLE("unsearched") WHOLE("alone") NULLABLE("search_below", "number")
    NULLABLE("others_below", "number") REAL("learn_seconds") NULLABLE("failure", "string")
    WHOLE("experts_active") WHOLE("experts_candidate") WHOLE("experts_archived") WHOLE("born") WHOLE("pruned")
    WHOLE("dropped_candidates") WHOLE("restored") WHOLE("merged")
    WHOLE("concepts_replaced") WHOLE("concepts_returned") WHOLE("exemplars_dormant") WHOLE("exemplars_refuted")
    WHOLE("routed") WHOLE("overflowed") WHOLE("dropped") REAL("gate_entropy") WHOLE("collapses")
    NULLABLE("collapsed_to", "integer")
    WHOLE("checkpoint") WHOLE("checkpoints") REAL("checkpoint_seconds") WHOLE("journal_bytes") WHOLE("state_bytes")
    WHOLE("budget_bytes") WHOLE("counted_bytes") WHOLE("parameters") WHOLE("active_parameters") WHOLE("active_bytes")
    WHOLE("parameter_bytes") WHOLE("expert_bytes") WHOLE("gate_bytes") WHOLE("encoder_bytes") WHOLE("analytic_bytes")
    WHOLE("memory_bytes") WHOLE("index_bytes") WHOLE("table_bytes") WHOLE("learning_bytes") WHOLE("retired_bytes")
    WHOLE("writing_bytes")
    "\"index\":{\"type\":\"object\",\"properties\":{\"kind\":{\"enum\":[\"exact\",\"codes\",\"lists\"]},"
    WHOLE("lists") WHOLE("probes") WHOLE("candidates") "\"recall\":{\"type\":[\"number\",\"null\"]}}},"
    "\"embedding\":{\"type\":[\"object\",\"null\"],\"properties\":{\"state\":{\"enum\":[\"ok\",\"down\"]},"
    NULLABLE("last_error", "string") WHOLE("pending") WHOLE("calls") WHOLE("retries") WHOLE("texts")
    WHOLE("looked_up") WHOLE("found") WHOLE("cached") "\"cache_bytes\":" INTEGER "}},"
    "\"experts\":" ARRAY("{\"type\":\"object\",\"properties\":{\"id\":" INTEGER ",\"state\":" STRING
                         ",\"share\":" NUMBER ",\"entropy\":" NUMBER ",\"overflowed\":" INTEGER
                         ",\"dropped\":" INTEGER "}}") ","
    "\"domains\":" ARRAY("{\"type\":\"object\",\"properties\":{\"domain\":" STRING ",\"records\":" INTEGER
                         ",\"prequential\":" NUMBER "}}") "}},"
    "\"Schedule\":{\"type\":\"object\",\"properties\":{"
    TOLD("model", "\"string\"") TOLD("next", "[\"string\",\"null\"]") "\"schedule\":" STRING
    ",\"idle_after\":" STRING ",\"min_share\":" NUMBER "}},"
    "\"Problem\":{\"type\":\"object\",\"properties\":{\"type\":" STRING ",\"title\":" STRING ",\"status\":" INTEGER
    ",\"detail\":" STRING ",\"error\":" STRING ",\"code\":" STRING ",\"line\":" INTEGER "},"
    "\"description\":\"of ingest with the members of Ingested, where records were read\"}}}}";

atoll_outcome atoll_handle_openapi(atoll_request *request, atoll_worker *worker)
{
    atoll_writer out;
    (void)worker;
    atoll_writer_init(&out);
    atoll_writer_raw(&out, specification, sizeof specification - 1);
    return atoll_request_json(request, 200, &out);
}
