#include "api/handlers.h"

#define MODEL "/v1/models/{model}"

/* Read from above; what is asked most stands first. */
const atoll_route atoll_routes[] = {
    {"POST", MODEL "/predict", atoll_handle_predict, ATOLL_TAKES_RECORDS, "top explain min_version timeout_ms ", false},
    {"POST", MODEL "/ingest", atoll_handle_ingest, ATOLL_TAKES_RECORDS, "wait ", false},
    {"GET", "/v1/models", atoll_handle_models, ATOLL_TAKES_NOTHING, NULL, false},
    {"GET", MODEL, atoll_handle_model_get, ATOLL_TAKES_NOTHING, NULL, false},
    {"PUT", MODEL, atoll_handle_model_put, ATOLL_TAKES_JSON, NULL, false},
    {"DELETE", MODEL, atoll_handle_model_delete, ATOLL_TAKES_NOTHING, NULL, false},
    {"GET", MODEL "/experts", atoll_handle_experts, ATOLL_TAKES_NOTHING, NULL, false},
    {"GET", MODEL "/experts/{id}", atoll_handle_expert, ATOLL_TAKES_NOTHING, NULL, false},
    {"POST", MODEL "/experts/{id}/restore", atoll_handle_expert_restore, ATOLL_TAKES_NOTHING, NULL, false},
    {"POST", MODEL "/prune", atoll_handle_prune, ATOLL_TAKES_JSON, NULL, false},
    {"GET", MODEL "/schedule", atoll_handle_schedule_get, ATOLL_TAKES_NOTHING, NULL, false},
    {"PUT", MODEL "/schedule", atoll_handle_schedule_put, ATOLL_TAKES_JSON, NULL, false},
    {"GET", MODEL "/stats", atoll_handle_stats, ATOLL_TAKES_NOTHING, NULL, false},
    {"GET", "/metrics", atoll_handle_metrics, ATOLL_TAKES_NOTHING, NULL, false},
    {"GET", "/healthz", atoll_handle_healthz, ATOLL_TAKES_NOTHING, NULL, false},
    {"GET", "/livez", atoll_handle_livez, ATOLL_TAKES_NOTHING, NULL, true},
    {"GET", "/readyz", atoll_handle_readyz, ATOLL_TAKES_NOTHING, NULL, true},
    {"GET", "/openapi.json", atoll_handle_openapi, ATOLL_TAKES_NOTHING, NULL, true},
    {"GET", "/", atoll_handle_dashboard, ATOLL_TAKES_NOTHING, NULL, true},
};

const uint32_t atoll_route_count = sizeof atoll_routes / sizeof *atoll_routes;
