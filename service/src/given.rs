//! A setting as somebody wrote it, with the place where it stands.

use std::str::FromStr;

/// A value, and where it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// A flag, a variable, or a file and the key in it.
    pub source: String,
    /// As it was written.
    pub value: String,
}

/// Why a setting cannot be used: where it stands, and what is wrong. Displays as one line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{origin}: {message}")]
pub struct SettingError {
    origin: String,
    message: String,
}

impl SettingError {
    /// An error at a place that is no value's: a file, or a variable that cannot be read.
    pub fn at(origin: impl Into<String>, message: impl Into<String>) -> Self {
        SettingError {
            origin: origin.into(),
            message: message.into(),
        }
    }
}

impl Given {
    /// A value that was given at this place.
    pub fn new(source: impl Into<String>, value: impl Into<String>) -> Self {
        Given {
            source: source.into(),
            value: value.into(),
        }
    }

    /// Reads the value.
    ///
    /// # Errors
    /// When it is not `expected`, which completes the sentence "is not …".
    pub fn parse<T: FromStr>(&self, expected: &str) -> Result<T, SettingError> {
        self.value
            .parse()
            .map_err(|_| self.refuse(format!("is not {expected}")))
    }

    /// The base URI of a service, without a slash at its end.
    ///
    /// # Errors
    /// When it is of no scheme that a service speaks.
    pub fn base_url(&self) -> Result<String, SettingError> {
        if self.value.starts_with("http://") || self.value.starts_with("https://") {
            Ok(self.value.trim_end_matches('/').to_owned())
        } else {
            Err(self.refuse("does not begin with http:// or https://"))
        }
    }

    /// The error that names this value; `why` goes on after it, as "is not a port".
    pub fn refuse(&self, why: impl AsRef<str>) -> SettingError {
        SettingError::at(
            self.source.as_str(),
            format!("`{}` {}", self.value, why.as_ref()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, somebody with a typo does not learn where it is.
    #[test]
    fn a_bad_value_is_named_with_its_source() {
        let given = Given::new("PORT", "x");
        let error = given.parse::<u16>("a port").expect_err("is no number");
        assert_eq!(error.to_string(), "PORT: `x` is not a port");
        assert_eq!(Given::new("PORT", "8").parse::<u16>("a port"), Ok(8));
    }

    // If this fails, links are made with two slashes, or of what no client can call.
    #[test]
    fn base_urls_end_without_a_slash() {
        let url = |text: &str| Given::new("PUBLIC_URL", text).base_url();
        assert_eq!(
            url("https://a.example/"),
            Ok("https://a.example".to_owned())
        );
        assert_eq!(url("http://a:1/x"), Ok("http://a:1/x".to_owned()));
        for bad in ["a:1", "ftp://a", ""] {
            let error = url(bad).expect_err(bad).to_string();
            assert!(
                error.starts_with(&format!("PUBLIC_URL: `{bad}` ")),
                "{error}"
            );
        }
    }
}
