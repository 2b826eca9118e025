//! A page that shows the document to people. It is embedded, and loads nothing from elsewhere.

/// The page.
pub const PAGE: &str = include_str!("page.html");

/// What fills it.
pub const SCRIPT: &str = include_str!("page.js");

/// How it looks.
pub const STYLE: &str = include_str!("page.css");

/// What a browser may do for the page: load what is its own, and nothing else.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, the page shows nothing, or only with a network.
    #[test]
    fn the_page_needs_nothing_but_its_own_parts() {
        for part in [wire::routes::DOCS_SCRIPT, wire::routes::DOCS_STYLE] {
            assert!(PAGE.contains(&format!("\"{part}\"")), "{part}");
        }
        assert!(SCRIPT.contains(&format!("\"{}\"", wire::routes::OPENAPI)));
        for text in [PAGE, SCRIPT, STYLE] {
            assert!(!text.contains("://"), "it loads something from elsewhere");
        }
        for inline in ["<style", "style=", " onclick", "javascript:", "<script>"] {
            assert!(!PAGE.contains(inline), "the policy forbids {inline}");
        }
        for unsafe_way in ["innerHTML", "eval(", "document.write", ".style"] {
            assert!(!SCRIPT.contains(unsafe_way), "{unsafe_way}");
        }
    }
}
