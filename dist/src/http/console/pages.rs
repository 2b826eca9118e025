//! The pages that only show something, and what every page is answered with.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use maud::Markup;
use serde::Deserialize;
use wire::{Code, NodeName, Timestamp};

use super::live::Wanted;
use super::outage::copying_held_by;
use super::session::visitor;
use crate::app::Shared;
use crate::console::chart::{self, Range};
use crate::console::contents::Search;
use crate::console::layout::{self, BUILD, Place, Visitor};
use crate::console::overview::Cluster;
use crate::console::{contents as list, forms, overview as first, shards as mirrors, trouble};
use crate::history::Asked;
use crate::http::content::{PageParameters, page_query, parameters, read_page};
use crate::http::envelope::trail;
use crate::http::error::ApiError;
use crate::http::nodes::{self, history};
use crate::peer::Trail;

/// Everything comes from here, and nothing is written into pages: not even a style.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

/// Rows of one page of the list.
const ROWS: usize = 50;

/// A database that needs longer for the charts is shown as away: nodes must be seen all the same.
const CHARTS_TIME_MAX: Duration = Duration::from_secs(1);

/// A page that is being answered.
pub(super) struct View {
    trail: Trail,
    pub(super) visitor: Visitor,
    place: Place,
    title: Cow<'static, str>,
}

impl View {
    pub(super) fn of(
        shared: &Shared,
        request: &HttpRequest,
        place: Place,
        title: &'static str,
    ) -> Self {
        View {
            trail: trail(request),
            visitor: visitor(shared, request),
            place,
            title: title.into(),
        }
    }

    /// The same page, with a title of its own.
    pub(super) fn titled(self, title: &str) -> Self {
        let title = title.to_owned().into();
        View { title, ..self }
    }

    /// The whole page around its main part.
    pub(super) fn page(&self, main: &Markup) -> Markup {
        layout::page(self.visitor, self.place, &self.title, main)
    }

    /// The answer; an error is a page that says what can be done.
    pub(super) fn show(&self, main: Result<Markup, ApiError>) -> HttpResponse {
        match main {
            Ok(main) => html(StatusCode::OK, &self.page(&main)),
            Err(error) => {
                error.log(&self.trail);
                let (code, message) = (error.code(), error.to_string());
                let main = trouble::trouble(code, &message, &self.trail.request_id);
                let status = StatusCode::from_u16(code.status());
                let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                html(status, &self.page(&main))
            }
        }
    }
}

/// An answer with a page.
pub(super) fn html(status: StatusCode, page: &Markup) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    guard(&mut response);
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type("text/html; charset=utf-8")
        .body(page.0.clone())
}

/// What keeps pages from being used by others.
pub(super) fn guard(response: &mut HttpResponseBuilder) {
    let fixed = [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ];
    for (name, value) in fixed {
        response.insert_header((HeaderName::from_static(name), value));
    }
}

/// The cluster at this moment.
pub(super) fn cluster(shared: &Shared) -> Cluster {
    let (nodes, stats) = nodes::answer_with_figures(shared);
    let views = shared.members.nodes(Instant::now()).into_iter();
    Cluster {
        nodes,
        stats,
        catalog_up: shared.catalog_up(),
        coordinator_up: shared.controller.hears_register(),
        copying_held_by: copying_held_by(shared),
        clocks_ahead_s: views
            .filter_map(|node| Some((node.name, node.clock_ahead_s?)))
            .collect(),
    }
}

#[derive(Deserialize)]
struct RangeParameters {
    range: Option<String>,
}

fn range(request: &HttpRequest) -> Range {
    let read = parameters::<RangeParameters>(request);
    let name = read.ok().and_then(|parameters| parameters.range);
    Range::of(&name.unwrap_or_default())
}

/// The cluster in a sentence, its nodes, its last hours.
pub(super) async fn overview(shared: Data<Shared>, request: HttpRequest) -> HttpResponse {
    let view = View::of(&shared, &request, Place::Overview, "Overview");
    let range = range(&request);
    let charts = drawn(&shared, (None, range)).await;
    view.show(Ok(first::overview(&cluster(&shared), &charts, range)))
}

/// A node and its last hours.
pub(super) async fn node(
    shared: Data<Shared>,
    path: Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    let view = View::of(&shared, &request, Place::Overview, "Node").titled(&path);
    view.show(node_page(&shared, &path, range(&request)).await)
}

async fn node_page(shared: &Shared, name: &str, range: Range) -> Result<Markup, ApiError> {
    let name = known(shared, name)?;
    let charts = drawn(shared, (Some(name.clone()), range)).await;
    first::node_page(&cluster(shared), &name, &charts, range).ok_or_else(ApiError::no_route)
}

/// The name of a node that there is: charts of others would be drawn and kept for nothing.
fn known(shared: &Shared, name: &str) -> Result<NodeName, ApiError> {
    let name = name.parse().ok();
    let known = name.filter(|name| shared.members.knows(name));
    known.ok_or_else(ApiError::no_route)
}

#[derive(Deserialize)]
struct ChartsParameters {
    node: Option<String>,
}

/// The charts alone: pages ask for them again.
pub(super) async fn charts(
    shared: Data<Shared>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let ChartsParameters { node } = parameters(&request)?;
    let node = node.map(|name| known(&shared, &name)).transpose()?;
    let charts = drawn(&shared, (node, range(&request))).await;
    Ok(html(StatusCode::OK, &charts))
}

async fn drawn(shared: &Shared, wanted: Wanted) -> Markup {
    let (node, range) = wanted.clone();
    let drawing = shared.live.charts.get(wanted, async || {
        let now = history::now();
        let asked = Asked {
            node,
            from: Some(Timestamp(now.0.saturating_sub(range.seconds() * 1000))),
            ..Asked::default()
        };
        history::read(shared, asked)
            .await
            .map(|read| chart::charts(&read))
    });
    match tokio::time::timeout(CHARTS_TIME_MAX, drawing).await {
        Ok(Ok(charts)) => charts,
        Ok(Err(_)) | Err(_) => chart::away(),
    }
}

/// Shards and their mirrors.
pub(super) async fn shards(shared: Data<Shared>, request: HttpRequest) -> HttpResponse {
    let view = View::of(&shared, &request, Place::Shards, "Shards");
    view.show(Ok(mirrors::shards(&nodes::answer(&shared))))
}

#[derive(Deserialize)]
struct ListParameters {
    name: Option<String>,
    sort: Option<String>,
    after: Option<String>,
}

/// The list of contents.
pub(super) async fn contents(shared: Data<Shared>, request: HttpRequest) -> HttpResponse {
    let view = View::of(&shared, &request, Place::Contents, "Contents");
    view.show(listed(&shared, &request, view.visitor).await)
}

async fn listed(
    shared: &Shared,
    request: &HttpRequest,
    visitor: Visitor,
) -> Result<Markup, ApiError> {
    let ListParameters { name, sort, after } = parameters(request)?;
    let prefix = name.unwrap_or_default();
    let by_name = sort.as_deref().is_some_and(|sort| sort.ends_with("name"));
    let sort = match sort {
        Some(sort) if prefix.is_empty() || by_name => sort,
        _ if prefix.is_empty() => "-id".to_owned(),
        _ => "name".to_owned(),
    };
    let after = after.filter(|after| !after.is_empty());
    let later = after.is_some();
    let query = PageParameters {
        after,
        limit: Some(ROWS),
        filename: Some(format!("{prefix}*")),
        sort: Some(serde_json::from_value(sort.as_str().into()).unwrap_or_default()),
        ..PageParameters::default()
    };
    let page = read_page(shared, page_query(query)?).await?;
    let search = Search {
        prefix,
        sort,
        later,
    };
    Ok(list::contents(&page, &search, visitor))
}

/// Where files are dropped.
pub(super) async fn upload(shared: Data<Shared>, request: HttpRequest) -> HttpResponse {
    View::of(&shared, &request, Place::Upload, "Upload").show(Ok(forms::upload()))
}

/// A page that there is not.
pub(crate) fn no_page(shared: &Shared, request: &HttpRequest) -> HttpResponse {
    View::of(shared, request, Place::Aside, "No such page").show(Err(ApiError::no_route()))
}

/// The stylesheet, the script, the icon.
pub(super) async fn asset(
    path: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let (media, text) = match path.as_str() {
        "console.css" => ("text/css; charset=utf-8", layout::STYLE),
        "console.js" => ("text/javascript; charset=utf-8", layout::SCRIPT),
        "icon.svg" => ("image/svg+xml", layout::ICON),
        other => {
            let message = format!("there is no asset `{other}`");
            return Err(ApiError::new(Code::NoRoute, message));
        }
    };
    let of_build = request.query_string().strip_prefix("v=") == Some(BUILD.as_str());
    let caching = match of_build {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    let mut response = HttpResponse::Ok();
    guard(&mut response);
    Ok(response
        .insert_header((header::CACHE_CONTROL, caching))
        .content_type(media)
        .body(text))
}
