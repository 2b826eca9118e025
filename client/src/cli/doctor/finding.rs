//! What was found, and what to do about it.

use serde::Serialize;

use crate::api::RequestError;
use crate::cli::failure::Failure;
use crate::ui::colour::{Hue, Palette};
use crate::ui::printable;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing has to be done.
    Advice,
    /// Something has to be done.
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// What was checked.
    pub(super) check: &'static str,
    /// Of what: a node's name, a shard, a file.
    pub(super) subject: String,
    /// What was found.
    pub(super) found: String,
    /// What to do; none where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(
        check: &'static str,
        subject: impl ToString,
        found: impl Into<String>,
    ) -> Self {
        Finding {
            level: Level::Ok,
            check,
            subject: subject.to_string(),
            found: found.into(),
            remedy: None,
        }
    }

    /// The same, as what is worth knowing.
    pub(super) fn advise(self, remedy: impl Into<String>) -> Self {
        Finding {
            level: Level::Advice,
            remedy: Some(remedy.into()),
            ..self
        }
    }

    /// The same, as what needs something to be done.
    pub(super) fn demand(self, remedy: impl Into<String>) -> Self {
        Finding {
            level: Level::Problem,
            remedy: Some(remedy.into()),
            ..self
        }
    }

    /// As a line for people, and one more for what to do.
    pub(super) fn text(&self, palette: Palette) -> String {
        let (word, hue) = match self.level {
            Level::Ok => ("ok", Hue::Good),
            Level::Advice => ("advice", Hue::Warning),
            Level::Problem => ("problem", Hue::Bad),
        };
        let word = palette.paint(hue, &format!("{word:<7}"));
        let about = format!("{:<13}  {}", self.check, self.subject);
        let found = printable(&self.found);
        match &self.remedy {
            None => format!("{word}  {about}: {found}"),
            Some(remedy) => format!("{word}  {about}: {found}\n         -> {remedy}"),
        }
    }
}

/// An error with its causes, on one line.
pub(super) fn reason(error: &RequestError) -> String {
    Failure::caused("", error).causes.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, an operator reads that something is wrong, and not what to do.
    #[test]
    fn a_finding_says_what_to_do_unless_all_is_well() {
        let finding = || Finding::ok("storage", "node1", "12 % used");
        let ok = finding();
        assert_eq!(
            ok.text(Palette::PLAIN),
            "ok       storage        node1: 12 % used"
        );
        let advice = finding().advise("raise it").text(Palette::PLAIN);
        assert!(advice.starts_with("advice   ") && advice.ends_with("\n         -> raise it"));
        let problem = finding().demand("raise it");
        assert!(
            problem
                .text(Palette::of_terminal())
                .contains("\u{1b}[1;31mproblem")
        );
        let json = serde_json::to_value(&problem).expect("serialises");
        assert_eq!(
            (&json["level"], &json["remedy"]),
            (&"problem".into(), &"raise it".into())
        );
        let json = serde_json::to_value(&ok).expect("serialises");
        assert!(json.get("remedy").is_none(), "{json}");
    }
}
