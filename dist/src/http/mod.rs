//! The distributor's HTTP interface: thin handlers that extract, call and answer.
//!
//! Nothing outside this folder and `app` knows actix.

mod body;
pub(crate) mod console;
mod content;
mod content_change;
mod content_item;
mod docs;
mod envelope;
mod error;
mod health;
mod nodes;
mod policy;
mod shards;
mod store;

use actix_web::guard::{Any, Get, Head};
use actix_web::{HttpRequest, HttpResponse, Resource, Route, web};
use service::openapi::page;
use wire::routes;

pub(crate) use envelope::envelope;
use error::ApiError;

use crate::app::Shared;

/// Registers every route.
pub(crate) fn routes(app: &mut web::ServiceConfig) {
    app.service(only("GET", routes::STORE).route(reading().to(store::place)))
        .service(
            only("GET, POST", routes::CONTENT)
                .route(reading().to(content::page))
                .route(web::post().to(content::list)),
        )
        .service(
            only("GET, PUT, DELETE", routes::CONTENT_ID)
                .route(reading().to(content::item))
                .route(web::put().to(content_change::describe))
                .route(web::delete().to(content_change::delete)),
        )
        .service(only("GET", routes::NODES).route(reading().to(nodes::nodes)))
        .service(only("DELETE", routes::NODE).route(web::delete().to(nodes::orders::remove)))
        .service(
            only("POST, DELETE", routes::DRAIN)
                .route(web::post().to(nodes::orders::drain))
                .route(web::delete().to(nodes::orders::undrain)),
        )
        .service(
            only("POST, DELETE", routes::REBALANCE)
                .route(web::post().to(nodes::orders::rebalance))
                .route(web::delete().to(nodes::orders::settle)),
        )
        .service(only("POST", routes::HEARTBEAT).route(web::post().to(nodes::heartbeat)))
        .service(only("GET", routes::SHARDS).route(reading().to(shards::map)))
        .service(
            only("GET, POST", routes::SHARD)
                .route(reading().to(shards::record))
                .route(web::post().to(shards::change)),
        )
        .service(only("POST", routes::RECOVER).route(web::post().to(shards::recovery::recover)))
        .service(only("GET", routes::RECOVERY).route(reading().to(shards::recovery::waiting)))
        .service(only("GET", routes::STATS).route(reading().to(nodes::stats)))
        .service(only("GET", routes::STATS_HISTORY).route(reading().to(nodes::history::history)))
        .service(only("GET", routes::METRICS).route(reading().to(health::metrics)))
        .service(only("GET", routes::HEALTH_LIVE).route(reading().to(health::live)))
        .service(only("GET", routes::HEALTH_READY).route(reading().to(health::ready)))
        .configure(console::routes)
        .service(only("GET", routes::OPENAPI).route(reading().to(docs::openapi)))
        .service(only("GET", routes::DOCS).route(reading().to(|| docs::part(page::PAGE))))
        .service(only("GET", routes::DOCS_SCRIPT).route(reading().to(|| docs::part(page::SCRIPT))))
        .service(only("GET", routes::DOCS_STYLE).route(reading().to(|| docs::part(page::STYLE))))
        .default_service(web::to(no_route));
}

/// A GET, or a HEAD, whose body the server leaves out.
fn reading() -> Route {
    web::route().guard(Any(Get()).or(Head()))
}

/// A resource that answers other methods with 405 and the methods that it has.
fn only(methods: &'static str, path: &str) -> Resource {
    web::resource(path.to_owned()).default_service(web::to(move |payload| async move {
        body::drain(payload).await;
        Err::<(), ApiError>(ApiError::method_not_allowed(methods))
    }))
}

async fn no_route(
    shared: web::Data<Shared>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    body::drain(payload).await;
    match policy::is_console(request.path()) {
        true => Ok(console::no_page(&shared, &request)),
        false => Err(ApiError::no_route()),
    }
}
