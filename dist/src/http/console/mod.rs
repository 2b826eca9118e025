//! The web console: pages for people, by the same functions as the JSON API.
//!
//! Files pass through the distributor on their way from and to a browser: so pages need no other
//! origin than their own, and a key never leaves the cookie that scripts cannot read.

mod content;
mod feed;
mod live;
mod operations;
mod outage;
mod pages;
mod session;
mod transfer;

use actix_web::web;

use super::{only, reading};

pub(crate) use live::{Live, sample};
pub(super) use pages::no_page;
pub(super) use session::{key_of, sign_in_instead};

/// Registers every route of the console.
pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.service(only("GET", "/").route(reading().to(pages::overview)))
        .service(only("GET", "/console").route(reading().to(async || session::see("/"))))
        .service(only("GET", "/console/charts").route(reading().to(pages::charts)))
        .service(only("GET", "/console/nodes/{name}").route(reading().to(pages::node)))
        .service(only("GET", "/console/live").route(web::get().to(live::overview)))
        .service(only("GET", "/console/shards").route(reading().to(pages::shards)))
        .service(only("GET", "/console/shards/live").route(web::get().to(live::shards)))
        .service(only("GET", "/console/log").route(reading().to(operations::page)))
        .service(only("GET", "/console/log/live").route(web::get().to(operations::live)))
        .service(only("GET", "/console/contents").route(reading().to(pages::contents)))
        .service(
            only("GET, PUT", "/console/contents/{id}")
                .route(reading().to(content::page))
                .route(web::put().to(transfer::update)),
        )
        .service(only("GET", "/console/contents/{id}/bytes").route(web::get().to(transfer::bytes)))
        .service(
            only("GET, POST", "/console/contents/{id}/delete")
                .route(reading().to(content::ask))
                .route(web::post().to(content::delete)),
        )
        .service(only("GET", "/console/upload").route(reading().to(pages::upload)))
        .service(only("PUT", "/console/store").route(web::put().to(transfer::store)))
        .service(only("GET", "/console/assets/{name}").route(reading().to(pages::asset)))
        .service(
            only("GET, POST", "/console/sign-in")
                .route(reading().to(session::page))
                .route(web::post().to(session::sign_in)),
        )
        .service(only("POST", "/console/sign-out").route(web::post().to(session::sign_out)));
}
