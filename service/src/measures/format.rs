//! The two text formats: OpenMetrics, and the one before it, which older programs read.

/// How measures are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// The text format of Prometheus, 0.0.4.
    Classic,
}

impl Format {
    /// What a request's `Accept` asks for: OpenMetrics, unless only plain text is understood.
    pub fn of(accept: Option<&str>) -> Format {
        let accept = accept.unwrap_or_default();
        if accept.contains("text/plain") && !accept.contains("application/openmetrics-text") {
            Format::Classic
        } else {
            Format::OpenMetrics
        }
    }

    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// OpenMetrics text, in this format.
    pub fn of_openmetrics(self, text: String) -> String {
        match self {
            Format::OpenMetrics => text,
            Format::Classic => classic(&text),
        }
    }
}

/// A family is named without its sample's ending in OpenMetrics, and with it in the classic format.
fn classic(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map(|(_, help)| help);
        } else if let Some((name, kind)) = family(line) {
            let (ending, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            let help = help.take().unwrap_or_default();
            out.push_str(&format!(
                "# HELP {name}{ending} {help}\n# TYPE {name}{ending} {kind}\n"
            ));
        } else if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

fn family(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("# TYPE ")?.split_once(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, Prometheus is not given the format that it prefers, or an older program one
    // that it cannot read.
    #[test]
    fn openmetrics_unless_only_plain_text_is_understood() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3";
        assert_eq!(Format::of(Some(prometheus)), Format::OpenMetrics);
        assert_eq!(Format::of(Some("*/*")), Format::OpenMetrics);
        assert_eq!(Format::of(None), Format::OpenMetrics);
        assert_eq!(
            Format::of(Some("text/plain;version=0.0.4")),
            Format::Classic
        );
    }

    // If this fails, counters have no type and no help in programs that read the older format.
    #[test]
    fn families_are_named_as_their_samples() {
        let openmetrics = "\
# HELP a_seconds How long.
# TYPE a_seconds counter
# UNIT a_seconds seconds
a_seconds_total{x=\"# y\"} 1
# HELP b What.
# TYPE b info
b_info{version=\"1\"} 1
# HELP c How.
# TYPE c histogram
c_bucket{le=\"+Inf\"} 1
# EOF
";
        let expected = "\
# HELP a_seconds_total How long.
# TYPE a_seconds_total counter
a_seconds_total{x=\"# y\"} 1
# HELP b_info What.
# TYPE b_info gauge
b_info{version=\"1\"} 1
# HELP c How.
# TYPE c histogram
c_bucket{le=\"+Inf\"} 1
";
        let text = openmetrics.to_owned();
        assert_eq!(Format::Classic.of_openmetrics(text.clone()), expected);
        assert_eq!(Format::OpenMetrics.of_openmetrics(text.clone()), text);
    }
}
