//! Signing in: the access key in a cookie that only this service gets, and no script reads.

use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{COOKIE, LOCATION, SET_COOKIE};
use actix_web::web::{Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use service::access::{Need, Presented};
use wire::limits::JSON_BYTES_MAX;

use super::pages::{self, View};
use crate::app::Shared;
use crate::console::forms;
use crate::console::layout::{Place, Visitor};
use crate::http::body;
use crate::http::envelope::presented;
use crate::http::error::ApiError;
use crate::http::policy::is_console;

/// The cookie's name.
const NAME: &str = "acequia_key";

/// A working day.
const AGE_MAX_S: u32 = 12 * 60 * 60;

/// A wrong key is answered slowly: guessing takes for ever.
const WRONG_KEY_PAUSE: Duration = Duration::from_millis(500);

/// The key in a request's cookie, if the route is one of the console: the JSON API takes headers
/// only, which no page of another site can make a browser send.
pub(crate) fn key_of(request: &HttpRequest) -> Option<Vec<u8>> {
    if !is_console(request.path()) {
        return None;
    }
    let cookies = request.headers().get_all(COOKIE);
    let mut pairs = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == NAME)?;
    Some(percent_decode_str(value).collect())
}

/// Who looks at a page.
pub(super) fn visitor(shared: &Shared, request: &HttpRequest) -> Visitor {
    let key = key_of(request);
    let may = |key| {
        let presented = presented(request.headers()).or_key(key);
        shared.gate.allows(Need::Write, presented)
    };
    Visitor {
        signed_in: !may(None) && may(key.as_deref()),
        may_write: may(key.as_deref()),
        everybody_reads: shared.gate.is_public(),
    }
}

/// Sends who opens a page without the key to where he can give it.
pub(crate) fn sign_in_instead(request: &HttpRequest) -> Option<HttpResponse> {
    if !is_console(request.path()) || *request.method() != Method::GET {
        return None;
    }
    let target = request.uri().path_and_query();
    let target = target.map_or("/", |target| target.as_str());
    let next = utf8_percent_encode(target, NON_ALPHANUMERIC);
    Some(see(&format!("/console/sign-in?next={next}")))
}

/// The answer that sends a browser to another page.
pub(super) fn see(target: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((LOCATION, target))
        .finish()
}

#[derive(Deserialize)]
struct SignIn {
    #[serde(default)]
    key: String,
    #[serde(default)]
    next: String,
}

impl SignIn {
    fn read(text: &str) -> Result<Self, ApiError> {
        Query::<SignIn>::from_query(text)
            .map(Query::into_inner)
            .map_err(|error| ApiError::malformed(format!("the form cannot be read: {error}")))
    }

    /// A page of ours; nobody is sent to another site.
    fn next(&self) -> &str {
        let own = self.next.starts_with('/')
            && is_console(&self.next)
            && !self.next.starts_with("//")
            && !self.next.contains(['\\', '\r', '\n']);
        if own { &self.next } else { "/" }
    }
}

/// Asks for the key.
pub(super) async fn page(shared: Data<Shared>, request: HttpRequest) -> HttpResponse {
    let view = View::of(&shared, &request, Place::Aside, "Sign in");
    let asked = SignIn::read(request.query_string());
    view.show(asked.map(|asked| forms::sign_in(asked.next(), false)))
}

/// Takes the key.
pub(super) async fn sign_in(
    shared: Data<Shared>,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let view = View::of(&shared, &request, Place::Aside, "Sign in");
    let read = async {
        let body = body::bytes(payload, JSON_BYTES_MAX).await?;
        SignIn::read(&String::from_utf8_lossy(&body))
    };
    let given = match read.await {
        Ok(given) => given,
        Err(error) => return view.show(Err(error)),
    };
    let presented = Presented::default().or_key(Some(given.key.as_bytes()));
    if !shared.gate.allows(Need::Write, presented) {
        tokio::time::sleep(WRONG_KEY_PAUSE).await;
        let form = forms::sign_in(given.next(), true);
        return pages::html(actix_web::http::StatusCode::UNAUTHORIZED, &view.page(&form));
    }
    let value = utf8_percent_encode(&given.key, NON_ALPHANUMERIC).to_string();
    HttpResponse::SeeOther()
        .insert_header((LOCATION, given.next()))
        .insert_header((
            SET_COOKIE,
            cookie(&value, AGE_MAX_S, &shared.public_url.get()),
        ))
        .finish()
}

/// Forgets the key.
pub(super) async fn sign_out(shared: Data<Shared>, payload: Payload) -> HttpResponse {
    body::drain(payload).await;
    HttpResponse::SeeOther()
        .insert_header((LOCATION, "/"))
        .insert_header((SET_COOKIE, cookie("", 0, &shared.public_url.get())))
        .finish()
}

fn cookie(value: &str, age_max_s: u32, public_url: &str) -> String {
    let secure = match public_url.starts_with("https://") {
        true => "; Secure",
        false => "",
    };
    format!("{NAME}={value}; Path=/; Max-Age={age_max_s}; HttpOnly; SameSite=Strict{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    // If this fails, a sign-in leads to a stranger's page that looks like ours.
    #[test]
    fn nobody_is_sent_elsewhere() {
        let next = |next: &str| {
            let form = SignIn {
                key: String::new(),
                next: next.to_owned(),
            };
            form.next().to_owned()
        };
        assert_eq!(next("/console/log"), "/console/log");
        assert_eq!(next("/?range=1h"), "/");
        for other in [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "",
            "/content",
        ] {
            assert_eq!(next(other), "/", "{other}");
        }
    }

    // If this fails, a key with a strange letter is lost, or a cookie opens the JSON API to forgery.
    #[test]
    fn the_cookie_is_read_on_pages_alone() {
        let key = |path: &str| {
            let request = TestRequest::with_uri(path)
                .insert_header((COOKIE, "a=b; acequia_key=k%3D%20%C3%A9; c"))
                .to_http_request();
            key_of(&request)
        };
        assert_eq!(key("/console/log").as_deref(), Some("k= é".as_bytes()));
        assert!(key("/").is_some());
        assert_eq!(key("/content/x"), None);
    }

    // If this fails, the cookie goes over plain HTTP, or to scripts, or with requests of others.
    #[test]
    fn the_cookie_is_kept_close() {
        let open = cookie("k", 5, "http://a");
        assert_eq!(
            open,
            "acequia_key=k; Path=/; Max-Age=5; HttpOnly; SameSite=Strict"
        );
        assert!(cookie("k", 5, "https://a").ends_with("; Secure"));
    }
}
