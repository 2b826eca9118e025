//! A page that shows the document to people. It is embedded, and loads nothing from elsewhere.

/// What a browser gets.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its `Content-Type`.
    pub kind: &'static str,
    /// Its body.
    pub text: &'static str,
}

/// The page.
pub const PAGE: Part = Part {
    kind: "text/html; charset=utf-8",
    text: include_str!("page.html"),
};

/// What fills it.
pub const SCRIPT: Part = Part {
    kind: "text/javascript; charset=utf-8",
    text: include_str!("page.js"),
};

/// How it looks.
pub const STYLE: Part = Part {
    kind: "text/css; charset=utf-8",
    text: include_str!("page.css"),
};

/// What every part is answered with beside its kind.
pub const HEADERS: [(&str, &str); 3] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
];

/// What a browser may do for the page: load what is its own, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, the page shows nothing, or only with a network.
    #[test]
    fn the_page_needs_nothing_but_its_own_parts() {
        let [page, script, style] = [PAGE, SCRIPT, STYLE].map(|part| part.text);
        for part in [wire::routes::DOCS_SCRIPT, wire::routes::DOCS_STYLE] {
            assert!(page.contains(&format!("\"{part}\"")), "{part}");
        }
        assert!(script.contains(&format!("\"{}\"", wire::routes::OPENAPI)));
        for text in [page, script, style] {
            assert!(!text.contains("://"), "it loads something from elsewhere");
        }
        for inline in ["<style", "style=", " onclick", "javascript:", "<script>"] {
            assert!(!page.contains(inline), "the policy forbids {inline}");
        }
        for unsafe_way in ["innerHTML", "eval(", "document.write", ".style"] {
            assert!(!script.contains(unsafe_way), "{unsafe_way}");
        }
    }
}
