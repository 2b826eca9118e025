//! A session with a browser: pages, elements, pictures.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::WebError;
use crate::driver::Driver;

/// How long something on a page is awaited: a node that dies is noticed after seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is looked for meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// The name under which WebDriver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Which colours the browser's user likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// How the browser's window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// The colours.
    pub theme: Theme,
}

/// A browser that shows one page.
pub struct Browser {
    client: reqwest::Client,
    session: String,
    driver: Driver,
}

impl Browser {
    /// Starts a browser.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub async fn start(look: Look) -> Result<Self, WebError> {
        // Another part of the process may have installed it already; then that one serves.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let client = reqwest::Client::builder().no_proxy().build();
        let client = client.map_err(|error| WebError::Silent(error.to_string()))?;
        let driver = Driver::start()?;
        let session = session(&client, &driver).await?;
        let browser = Browser {
            client,
            session,
            driver,
        };
        browser.look(look).await?;
        Ok(browser)
    }

    /// Changes the window.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn look(&self, look: Look) -> Result<(), WebError> {
        let Look {
            width,
            height,
            theme,
        } = look;
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.develop("Emulation.setDeviceMetricsOverride", &metrics)
            .await?;
        let value = match theme {
            Theme::Light => "light",
            Theme::Dark => "dark",
        };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.develop("Emulation.setEmulatedMedia", &media).await?;
        Ok(())
    }

    /// Opens an address, and waits until its page is there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(&self, url: &str) -> Result<(), WebError> {
        self.command("url", &json!({ "url": url }))
            .await
            .map(|_| ())
    }

    /// Waits until a script's expression is true, and gives its value.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn until(&self, expression: &str) -> Result<Value, WebError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.eval(expression).await {
                Ok(Value::Null | Value::Bool(false)) | Err(WebError::Refused { .. }) => {}
                other => return other,
            }
            if Instant::now() >= deadline {
                return Err(WebError::TooLate {
                    seconds: PATIENCE.as_secs(),
                    what: expression.to_owned(),
                    page: self.text("body").await.unwrap_or_default(),
                });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until an element's text contains something.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn until_says(&self, css: &str, text: &str) -> Result<(), WebError> {
        let (css, text) = (Value::from(css), Value::from(text));
        let says = format!("document.querySelector({css})?.innerText.includes({text})");
        self.until(&says).await.map(|_| ())
    }

    /// The value of a script's expression.
    ///
    /// # Errors
    /// When it throws.
    pub async fn eval(&self, expression: &str) -> Result<Value, WebError> {
        let script = json!({ "script": format!("return {expression};"), "args": [] });
        self.command("execute/sync", &script).await
    }

    /// The text of the first element that a selector finds, as it is seen.
    ///
    /// # Errors
    /// When there is none.
    pub async fn text(&self, css: &str) -> Result<String, WebError> {
        let css = Value::from(css);
        let inner = format!("document.querySelector({css}).innerText");
        let text = self.eval(&inner).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Clicks on the first element that a selector finds, as a person does: it must be seen.
    ///
    /// # Errors
    /// When there is none in time, or something lies over it.
    pub async fn click(&self, css: &str) -> Result<(), WebError> {
        let element = self.element(css).await?;
        let click = format!("element/{element}/click");
        self.command(&click, &json!({})).await.map(|_| ())
    }

    /// Types into an element.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn write(&self, css: &str, text: &str) -> Result<(), WebError> {
        let element = self.element(css).await?;
        let value = format!("element/{element}/value");
        self.command(&value, &json!({ "text": text }))
            .await
            .map(|_| ())
    }

    /// Presses keys wherever the focus is.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn press(&self, keys: &str) -> Result<(), WebError> {
        let strokes = keys.chars().flat_map(|key| {
            [
                json!({"type": "keyDown", "value": key}),
                json!({"type": "keyUp", "value": key}),
            ]
        });
        let strokes: Vec<Value> = strokes.collect();
        let actions = json!({"actions": [{"type": "key", "id": "keys", "actions": strokes}]});
        self.command("actions", &actions).await.map(|_| ())
    }

    /// Chooses files in a field for them.
    ///
    /// # Errors
    /// When there is no such field.
    pub async fn choose(&self, css: &str, files: &[&Path]) -> Result<(), WebError> {
        let paths: Vec<String> = files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        self.write(css, &paths.join("\n")).await
    }

    /// What the browser complained of since it was last asked: scripts that failed, styles and
    /// requests that the page's own policy forbids.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn complaints(&self) -> Result<Vec<String>, WebError> {
        let entries = self
            .command("se/log", &json!({ "type": "browser" }))
            .await?;
        let entries = entries.as_array().cloned().unwrap_or_default();
        let message = |entry: &Value| entry["message"].as_str().unwrap_or_default().to_owned();
        Ok(entries.iter().map(message).collect())
    }

    /// A picture of the window, as PNG.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn picture(&self) -> Result<Vec<u8>, WebError> {
        let taken = self
            .develop("Page.captureScreenshot", &json!({ "format": "png" }))
            .await?;
        let text = taken["data"].as_str().unwrap_or_default();
        STANDARD.decode(text).map_err(|error| WebError::Refused {
            command: "picture".to_owned(),
            message: error.to_string(),
        })
    }

    /// Ends the browser.
    pub async fn close(self) {
        // The driver is stopped either way, and the browser with it.
        self.client.delete(&self.session).send().await.ok();
        drop(self.driver);
    }

    async fn element(&self, css: &str) -> Result<String, WebError> {
        let selector = Value::from(css);
        self.until(&format!("!!document.querySelector({selector})"))
            .await?;
        let using = json!({"using": "css selector", "value": css});
        let found = self.command("element", &using).await?;
        Ok(found[ELEMENT].as_str().unwrap_or_default().to_owned())
    }

    /// A command of the browser's own developer tools.
    async fn develop(&self, command: &str, parameters: &Value) -> Result<Value, WebError> {
        let body = json!({"cmd": command, "params": parameters});
        self.command("goog/cdp/execute", &body).await
    }

    async fn command(&self, command: &str, body: &Value) -> Result<Value, WebError> {
        call(&self.client, &format!("{}/{command}", self.session), body).await
    }
}

/// Starts a browser at the driver, as soon as that listens.
async fn session(client: &reqwest::Client, driver: &Driver) -> Result<String, WebError> {
    let mut arguments = vec![
        "--headless=new".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--hide-scrollbars".to_owned(),
        "--no-first-run".to_owned(),
        "--no-proxy-server".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        format!(
            "--user-data-dir={}",
            driver.folder.path().join("profile").display()
        ),
    ];
    if rustix::process::geteuid().is_root() {
        // Chromium refuses to put root into its sandbox.
        arguments.push("--no-sandbox".to_owned());
    }
    let options = json!({"binary": driver.chromium, "args": arguments});
    let capabilities = json!({
        "browserName": "chrome", "goog:chromeOptions": options,
        "goog:loggingPrefs": {"browser": "ALL"},
    });
    let body = json!({"capabilities": {"alwaysMatch": capabilities}});
    let url = format!("{}/session", driver.url);
    let deadline = Instant::now() + PATIENCE;
    loop {
        match call(client, &url, &body).await {
            Ok(begun) => {
                let id = begun["sessionId"].as_str().unwrap_or_default();
                return Ok(format!("{url}/{id}"));
            }
            Err(WebError::Silent(_)) if Instant::now() < deadline => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn call(client: &reqwest::Client, url: &str, body: &Value) -> Result<Value, WebError> {
    let silent = |error: reqwest::Error| WebError::Silent(error.to_string());
    let answer = client.post(url).json(body).send().await.map_err(silent)?;
    let succeeded = answer.status().is_success();
    let mut answer: Value = answer.json().await.map_err(silent)?;
    let value = answer["value"].take();
    if succeeded {
        return Ok(value);
    }
    Err(WebError::Refused {
        command: url.rsplit('/').next().unwrap_or(url).to_owned(),
        message: value["message"].as_str().unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look {
        width: 400,
        height: 300,
        theme: Theme::Dark,
    };

    /// Whether any process was started with this in its arguments.
    fn runs(argument: &str) -> bool {
        let processes = std::fs::read_dir("/proc").expect("a /proc");
        let arguments = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline"));
        processes
            .flatten()
            .filter_map(|entry| arguments(entry).ok())
            .any(|bytes| String::from_utf8_lossy(&bytes).contains(argument))
    }

    // If this fails, no test of a page means anything, or each leaves a browser running.
    #[tokio::test]
    async fn a_browser_shows_pages_and_is_gone_when_dropped() {
        let browser = Browser::start(LOOK).await.expect("starts");
        let page = "data:text/html,<title>t</title><input><script>onclick=()=>nowhere()</script>";
        browser.open(page).await.expect("opens");
        browser.write("input", "typed").await.expect("types");
        let value = browser.until("document.querySelector('input').value").await;
        assert_eq!(value.ok(), Some("typed".into()));
        browser.click("input").await.expect("clicks");
        let complaints = browser.complaints().await.expect("are read");
        assert!(
            complaints.iter().any(|one| one.contains("nowhere")),
            "{complaints:?}"
        );
        let dark = browser
            .eval("matchMedia('(prefers-color-scheme: dark)').matches")
            .await;
        assert_eq!(dark.ok(), Some(true.into()));
        let picture = browser.picture().await.expect("is taken");
        assert!(picture.starts_with(b"\x89PNG"));
        let folder = browser.driver.folder.path().display().to_string();
        assert!(runs(&folder));
        drop(browser);
        let deadline = Instant::now() + PATIENCE;
        while runs(&folder) {
            assert!(Instant::now() < deadline, "the browser is still there");
        }
        assert!(!Path::new(&folder).exists());
    }
}
