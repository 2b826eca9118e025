//! The node's HTTP interface: extract, convert, call, convert. Nothing is decided here but what
//! HTTP itself demands.

mod change;
mod copies;
mod cors;
mod delivery;
mod docs;
mod error;
mod frame;
mod info;
mod intake;
mod link;
mod observe;
mod precondition;
mod query;
mod scrub;

use actix_web::dev::HttpServiceFactory;
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::from_fn;
use actix_web::{FromRequest, Handler, HttpRequest, Responder, web};
use service::access::{Need, Presented};
use service::openapi::page;
use wire::{Code, ContentId, routes};

use crate::node::Node;
use error::ApiError;

/// All routes, in their frame.
pub(crate) fn service() -> impl HttpServiceFactory + 'static {
    let changes = [
        resource(routes::STORE, "POST", web::post().to(intake::store_form)),
        resource(routes::STORE_ID, "PUT", web::put().to(intake::store)),
        resource(
            routes::UPDATE,
            "PUT, POST",
            web::put().to(intake::update_form),
        )
        .route(web::post().to(intake::update_form)),
        resource(
            routes::UPDATE_ID,
            "PUT, POST",
            web::put().to(intake::update),
        )
        .route(web::post().to(intake::update)),
        resource(
            routes::DELETE_ID,
            "DELETE",
            web::delete().to(change::delete),
        ),
        resource(routes::DESCRIBE_ID, "PUT", web::put().to(change::describe)),
        resource(routes::LINK, "POST", web::post().to(link::link)),
        resource(routes::SHARD, "POST", web::post().to(link::news)),
        resource(
            routes::GIVE_UP,
            "POST",
            web::post().to(copies::lost::give_up),
        ),
    ];
    let reads = [
        resource(
            routes::RETRIEVE_ID,
            "GET, HEAD",
            web::get().to(delivery::retrieve),
        )
        .route(web::head().to(delivery::retrieve)),
        resource(routes::INFO_ID, "GET", web::get().to(info::info)),
        resource(routes::LOG, "GET", web::get().to(info::log)),
        resource(routes::RECORD, "GET", web::get().to(copies::record)),
        resource(routes::NEEDED_ID, "GET", web::get().to(copies::needed)),
        resource(routes::VERIFY_ID, "GET", web::get().to(copies::verify)),
        resource(routes::LOST, "GET", web::get().to(copies::lost::show)),
        resource(routes::SCRUB, "GET, POST", web::get().to(scrub::show))
            .route(web::post().to(scrub::begin)),
        shown(routes::STATS, observe::stats),
        shown(routes::METRICS, observe::metrics),
        shown(routes::HEALTH_LIVE, observe::live),
        shown(routes::HEALTH_READY, observe::ready),
        shown(routes::OPENAPI, docs::openapi),
        shown(routes::DOCS, || docs::part(page::PAGE)),
        shown(routes::DOCS_SCRIPT, || docs::part(page::SCRIPT)),
        shown(routes::DOCS_STYLE, || docs::part(page::STYLE)),
    ];
    let mut scope = web::scope("");
    for resource in changes.into_iter().chain(reads) {
        scope = scope.service(resource);
    }
    scope
        .default_service(web::to(no_route))
        .wrap(from_fn(frame::frame))
}

fn resource(path: &str, methods: &'static str, route: actix_web::Route) -> actix_web::Resource {
    let refuse = move || async move { Err::<&str, _>(ApiError::method(methods)) };
    web::resource(path)
        .route(route)
        .default_service(web::to(refuse))
}

/// What can be asked for alone whether it is there: an answer to `HEAD` is one to `GET`, of which no
/// body is sent.
fn shown<F, Args>(path: &str, handler: F) -> actix_web::Resource
where
    F: Handler<Args> + Clone,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    resource(path, "GET, HEAD", web::get().to(handler.clone())).route(web::head().to(handler))
}

async fn no_route() -> Result<&'static str, ApiError> {
    Err(ApiError::new(Code::NoRoute, "there is no such route"))
}

/// The content that the path names.
fn content_id(request: &HttpRequest) -> Result<ContentId, ApiError> {
    Ok(request.match_info().query("id").parse()?)
}

/// Checks the request's keys.
fn allow(node: &Node, request: &HttpRequest, need: Need) -> Result<(), ApiError> {
    let header = |name| request.headers().get(name).map(|value| value.as_bytes());
    let presented = Presented::of(
        header(routes::CLUSTER_KEY_HEADER),
        header(AUTHORIZATION.as_str()),
    );
    if node.access.allows(need, presented) {
        Ok(())
    } else {
        Err(ApiError::new(Code::Unauthorized, "this route needs a key"))
    }
}
