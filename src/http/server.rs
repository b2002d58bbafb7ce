//! The routes.

use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc::TrySendError;

use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::{Ask, Call, Hub, Refusal, metrics};

/// An exported baseline has to fit: 100,000 classes and their histograms do.
const MAX_BODY_BYTES: usize = 64 << 20;

/// Serves until `until` ends.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    hub: Arc<Hub>,
    until: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(hub))
        .with_graceful_shutdown(until)
        .await
}

fn router(hub: Arc<Hub>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status))
        .route("/api/v1/baselines", get(list).post(order))
        .route("/api/v1/baselines/{name}", get(show))
        .route("/api/v1/baselines/{name}/export", get(export))
        .fallback(async || Refused::from(Refusal::NotFound("there is nothing here".to_owned())))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(hub)
}

async fn readyz(State(hub): State<Arc<Hub>>) -> Response {
    let view = hub.view();
    let code = if view.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, Json(view.readiness())).into_response()
}

async fn metrics(State(hub): State<Arc<Hub>>) -> Response {
    match metrics::encode(&hub) {
        Ok(body) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], body).into_response(),
        Err(error) => Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn status(State(hub): State<Arc<Hub>>) -> Response {
    Json(hub.view().to_json()).into_response()
}

async fn list(State(hub): State<Arc<Hub>>) -> Result<Response, Refused> {
    ask(&hub, Ask::List {}).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    version: Option<u32>,
}

async fn show(
    State(hub): State<Arc<Hub>>,
    Path(name): Path<String>,
    Query(Which { version }): Query<Which>,
) -> Result<Response, Refused> {
    ask(&hub, Ask::Show { name, version }).await
}

async fn export(
    State(hub): State<Arc<Hub>>,
    Path(name): Path<String>,
    Query(Which { version }): Query<Which>,
) -> Result<Response, Refused> {
    ask(&hub, Ask::Export { name, version }).await
}

/// Takes any [`Ask`]. A page in somebody's browser may send requests to loopback too, but not with
/// this content type without asking first, nor without an origin.
async fn order(
    State(hub): State<Arc<Hub>>,
    headers: HeaderMap,
    body: Result<Json<Ask>, JsonRejection>,
) -> Result<Response, Refused> {
    if headers.contains_key(ORIGIN) {
        let why = "requests of web pages are not taken here".to_owned();
        return Err(Refused(StatusCode::FORBIDDEN, why));
    }
    let Json(asked) = body.map_err(|error| Refused(error.status(), error.body_text()))?;
    ask(&hub, asked).await
}

async fn ask(hub: &Hub, ask: Ask) -> Result<Response, Refused> {
    let (reply, answer) = oneshot::channel();
    let busy = |why: &str| Refused(StatusCode::SERVICE_UNAVAILABLE, why.to_owned());
    hub.calls
        .try_send(Call { ask, reply })
        .map_err(|error| match error {
            TrySendError::Full(_) => busy("too many requests wait already"),
            TrySendError::Disconnected(_) => busy("the daemon is stopping"),
        })?;
    let answer = answer.await.map_err(|_| busy("the daemon is stopping"))?;
    Ok(Json(answer?).into_response())
}

/// An error as every client gets it: a status, and `{"error":"…"}`.
struct Refused(StatusCode, String);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::NotFound(_) => StatusCode::NOT_FOUND,
            Refusal::Conflict(_) => StatusCode::CONFLICT,
            Refusal::Invalid(_) => StatusCode::BAD_REQUEST,
            Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(code, refusal.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}
