/* The handlers of the routes, each in the file named above it. routes.c puts them into the table. */
#ifndef ATOLL_API_HANDLERS_H
#define ATOLL_API_HANDLERS_H

#include "api/route.h"

/* models.c */
atoll_outcome atoll_handle_models(atoll_request *request, atoll_worker *worker);
atoll_outcome atoll_handle_model_get(atoll_request *request, atoll_worker *worker);
atoll_outcome atoll_handle_model_put(atoll_request *request, atoll_worker *worker);
atoll_outcome atoll_handle_model_delete(atoll_request *request, atoll_worker *worker);

/* ingest.c */
atoll_outcome atoll_handle_ingest(atoll_request *request, atoll_worker *worker);

/* predict.c */
atoll_outcome atoll_handle_predict(atoll_request *request, atoll_worker *worker);

/* experts.c */
atoll_outcome atoll_handle_experts(atoll_request *request, atoll_worker *worker);
atoll_outcome atoll_handle_expert(atoll_request *request, atoll_worker *worker);
atoll_outcome atoll_handle_expert_restore(atoll_request *request, atoll_worker *worker);

/* prune.c */
atoll_outcome atoll_handle_prune(atoll_request *request, atoll_worker *worker);
atoll_outcome atoll_handle_schedule_get(atoll_request *request, atoll_worker *worker);
atoll_outcome atoll_handle_schedule_put(atoll_request *request, atoll_worker *worker);

/* stats.c */
atoll_outcome atoll_handle_stats(atoll_request *request, atoll_worker *worker);

/* metrics.c */
atoll_outcome atoll_handle_metrics(atoll_request *request, atoll_worker *worker);

/* health.c */
atoll_outcome atoll_handle_healthz(atoll_request *request, atoll_worker *worker);
atoll_outcome atoll_handle_livez(atoll_request *request, atoll_worker *worker);
atoll_outcome atoll_handle_readyz(atoll_request *request, atoll_worker *worker);

/* openapi.c, dashboard.c */
atoll_outcome atoll_handle_openapi(atoll_request *request, atoll_worker *worker);
atoll_outcome atoll_handle_dashboard(atoll_request *request, atoll_worker *worker);

#endif
