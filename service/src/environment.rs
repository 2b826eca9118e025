//! Where settings are looked up that are not flags.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::address::look_up;
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
    /// Hosts that were looked up. An address cannot change while the service runs, so a reload asks
    /// nobody again.
    hosts: RefCell<BTreeMap<String, IpAddr>>,
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
            hosts: RefCell::default(),
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

    /// The first address of a host, which is looked up once if it is a name. Blocks meanwhile.
    ///
    /// # Errors
    /// When it is no address, and no name that is known.
    pub(crate) fn address(&self, host: &Given, port: u16) -> Result<SocketAddr, SettingError> {
        let known = self.hosts.borrow().get(&host.value).copied();
        if let Some(known) = known {
            return Ok(SocketAddr::new(known, port));
        }
        let found = look_up(host, port)?;
        self.hosts
            .borrow_mut()
            .insert(host.value.clone(), found.ip());
        Ok(found)
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

    // If this fails, a reload is refused, or takes long, because names cannot be looked up now.
    #[test]
    fn a_host_is_looked_up_once() {
        let environment = Environment::new([("HOST", "")], "");
        let address = |host: &str, port| environment.address(&Given::new("HOST", host), port);
        let local = address("localhost", 7).expect("is known everywhere");
        assert!(environment.hosts.borrow().contains_key("localhost"));
        // A name that nobody knows any more.
        let name = "node1.invalid";
        assert!(address(name, 7).is_err());
        environment
            .hosts
            .borrow_mut()
            .insert(name.to_owned(), local.ip());
        assert_eq!(address(name, 7), Ok(local));
        assert_eq!(address(name, 8).map(|known| known.port()), Ok(8));
        assert!(address("node2.invalid", 7).is_err(), "another name is");
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
