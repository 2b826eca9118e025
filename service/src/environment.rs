//! Where settings are looked up that are not flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::given::{Given, SettingError};

/// The nodes file where none is named.
pub const NODES_FILE: &str = "nodes.yml";

/// The variables of a process and the folder that it runs in.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    /// What relative paths are relative to.
    pub folder: PathBuf,
    /// A `nodes.yml` was there before: without it, a service must not go on with defaults.
    pub had_nodes_file: bool,
}

impl Environment {
    /// These variables, in this folder.
    pub fn new<K: Into<OsString>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (K, V)>,
        folder: impl Into<PathBuf>,
    ) -> Self {
        let variables = variables.into_iter();
        Environment {
            variables: variables
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            folder: folder.into(),
            had_nodes_file: false,
        }
    }

    /// Those of this process.
    pub fn of_process() -> Self {
        // In a folder that was deleted, the first relative path that is used says so.
        Self::new(
            std::env::vars_os(),
            std::env::current_dir().unwrap_or_default(),
        )
    }

    /// From now on a `nodes.yml` that is there must stay there.
    pub fn keep_nodes_file(&mut self) {
        self.had_nodes_file |= self.folder.join(NODES_FILE).is_file();
    }

    /// A variable; one that is empty counts as not set, because that is how container engines pass
    /// on what is not set.
    ///
    /// # Errors
    /// When it is not UTF-8: a key that was set must not count as none.
    pub fn variable(&self, name: &str) -> Result<Option<Given>, SettingError> {
        let value = self.variables.get(std::ffi::OsStr::new(name));
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let value = value.to_str();
        let value = value.ok_or_else(|| SettingError::at(name, "is not UTF-8"))?;
        Ok(Some(Given::new(name, value)))
    }

    /// What the flag says, else what the variable says.
    ///
    /// # Errors
    /// As [`Environment::variable`].
    pub fn given(
        &self,
        flag: &str,
        value: Option<&str>,
        variable: &str,
    ) -> Result<Option<Given>, SettingError> {
        match value {
            Some(value) => Ok(Some(Given::new(flag, value))),
            None => self.variable(variable),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    // If this fails, what is set closer to the program does not win, or an empty variable counts.
    #[test]
    fn flags_come_before_variables_and_empty_ones_are_not_set() {
        let environment = Environment::new([("PORT", "1"), ("HOST", "")], "");
        let given = |value, variable| environment.given("--flag", value, variable);
        assert_eq!(
            given(Some("2"), "PORT"),
            Ok(Some(Given::new("--flag", "2")))
        );
        assert_eq!(given(None, "PORT"), Ok(Some(Given::new("PORT", "1"))));
        assert_eq!(given(None, "HOST"), Ok(None));
        assert_eq!(given(None, "LOG"), Ok(None));
        assert_eq!(given(Some(""), "HOST"), Ok(Some(Given::new("--flag", ""))));
    }

    // If this fails, a service with an unreadable key runs open instead of not at all.
    #[test]
    fn a_variable_that_is_not_text_is_refused() {
        let key = OsString::from_vec(vec![0xff, 0xfe]);
        let environment = Environment::new([("CLUSTER_KEY", key)], "");
        let error = environment.variable("CLUSTER_KEY").expect_err("is refused");
        assert_eq!(error.to_string(), "CLUSTER_KEY: is not UTF-8");
    }
}
