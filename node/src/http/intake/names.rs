//! What a request calls the content that it brings.

use actix_web::http::header::{
    CONTENT_DISPOSITION, CONTENT_TYPE, ContentDisposition, DispositionParam, HeaderMap,
};
use mime_guess::mime::APPLICATION_OCTET_STREAM;
use wire::name::{check_attributes, check_collection, check_content_type, check_file_name};

use crate::driver::upload::Described;
use crate::http::error::ApiError;

/// The names that came with a content; what is absent is chosen by [`Names::describe`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// The file's name.
    pub(super) filename: Option<String>,
    /// Its media type, as it was sent.
    pub(super) content_type: Option<String>,
    /// Its collection.
    pub(super) collection: Option<String>,
    /// Its attributes, as JSON text.
    pub(super) attributes: Option<String>,
}

impl Names {
    /// Reads the file's name and type out of the headers of a request or of a part of one.
    ///
    /// # Errors
    /// When a header is not UTF-8, or not of its form.
    pub(super) fn of_headers(headers: &HeaderMap) -> Result<Self, ApiError> {
        let filename = match headers.get(CONTENT_DISPOSITION) {
            Some(value) => filename(&ContentDisposition::from_raw(value).map_err(|_| {
                ApiError::malformed("Content-Disposition cannot be understood, or is not UTF-8")
            })?)?,
            None => None,
        };
        let content_type = match headers.get(CONTENT_TYPE) {
            Some(value) => Some(
                value
                    .to_str()
                    .map_err(|_| ApiError::malformed("Content-Type is not visible ASCII"))?
                    .to_owned(),
            ),
            None => None,
        };
        Ok(Names {
            filename,
            content_type,
            ..Names::default()
        })
    }

    /// Checks the names and fills in what is absent: from the version that is replaced if there is
    /// one, else the id as file name. A type that was not told ([`told`]) is that of the replaced
    /// version while the file keeps its name, else the one that the name's ending suggests.
    ///
    /// # Errors
    /// When a name cannot be stored.
    pub(super) fn describe(
        self,
        fallback_name: &dyn std::fmt::Display,
        replaced: Option<&store::Content>,
    ) -> Result<Described, ApiError> {
        let filename = self
            .filename
            .or_else(|| replaced.map(|content| content.filename.clone()))
            .unwrap_or_else(|| fallback_name.to_string());
        check_file_name(&filename)?;
        let content_type = self
            .content_type
            .filter(|content_type| told(content_type))
            .or_else(|| {
                let same_name = replaced.filter(|content| content.filename == filename);
                same_name.map(|content| content.content_type.clone())
            })
            .unwrap_or_else(|| guess(&filename));
        check_content_type(&content_type)?;
        if let Some(collection) = &self.collection {
            check_collection(collection)?;
        }
        if let Some(attributes) = &self.attributes {
            check_attributes(attributes)?;
        }
        let kept =
            |of: fn(&store::Content) -> &Option<String>| replaced.and_then(|c| of(c).clone());
        let collection = self
            .collection
            .or_else(|| kept(|content| &content.collection));
        let attributes = self
            .attributes
            .or_else(|| kept(|content| &content.attributes));
        Ok(Described {
            filename,
            content_type,
            collection,
            attributes,
        })
    }
}

/// The file name of a disposition; the extended form, which names its encoding, comes first.
fn filename(disposition: &ContentDisposition) -> Result<Option<String>, ApiError> {
    let extended = disposition
        .parameters
        .iter()
        .find_map(|parameter| match parameter {
            DispositionParam::FilenameExt(value) => Some(value),
            _ => None,
        });
    match extended {
        Some(value) => String::from_utf8(value.value.clone())
            .map(Some)
            .map_err(|_| ApiError::malformed("the file name is not UTF-8")),
        None => Ok(disposition.get_filename().map(str::to_owned)),
    }
}

/// Whether a media type tells more than that there are bytes. Programs send
/// `application/octet-stream` for endings that they do not know, `curl -F` for instance for `.md`.
fn told(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    !essence
        .trim()
        .eq_ignore_ascii_case(APPLICATION_OCTET_STREAM.essence_str())
}

fn guess(filename: &str) -> String {
    mime_guess::from_path(filename)
        .first_or_octet_stream()
        .essence_str()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn named(disposition: &[u8]) -> Result<Option<String>, ApiError> {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_bytes(disposition).expect("a header");
        headers.insert(CONTENT_DISPOSITION, value);
        Names::of_headers(&headers).map(|names| names.filename)
    }

    // If this fails, files come back under other names than they were sent with.
    #[test]
    fn file_names_are_read_in_every_form() {
        let name = |text: &str| named(text.as_bytes()).expect("reads").expect("a name");
        assert_eq!(name("attachment; filename=a.txt"), "a.txt");
        assert_eq!(
            name(r#"form-data; name="file"; filename="a\"b;c.txt""#),
            "a\"b;c.txt"
        );
        assert_eq!(name("form-data; filename=\"été.txt\""), "été.txt");
        assert_eq!(name("x; filename=\"plain\"; filename*=UTF-8''%c3%a9"), "é");
        assert_eq!(name("form-data; filename=\"../../x\""), "../../x");
        assert_eq!(named(b"form-data; name=file").expect("reads"), None);
    }

    // If this fails, a name that nobody can read back is stored.
    #[test]
    fn names_that_are_not_utf_8_are_refused() {
        assert!(named(b"form-data; filename=\"\xff\xfe\"").is_err());
        assert!(named(b"form-data; filename*=UTF-8''%ff").is_err());
        assert!(named(b"form-data; filename=\"open").is_err());
    }

    // If this fails, browsers download what `curl -F` and `curl -T` stored instead of showing it.
    #[test]
    fn a_type_that_tells_nothing_gives_way_to_the_file_name() {
        let stored = |filename: &str, content_type: Option<&str>| {
            let names = Names {
                filename: Some(filename.to_owned()),
                content_type: content_type.map(str::to_owned),
                ..Names::default()
            };
            let described = names.describe(&"id", None);
            described.expect("is fine").content_type
        };
        let nothing = [
            None,
            Some("application/octet-stream"),
            Some("Application/Octet-Stream; charset=binary"),
        ];
        for sent in nothing {
            assert_eq!(stored("README.md", sent), "text/markdown", "{sent:?}");
            assert_eq!(stored("x.zzz", sent), "application/octet-stream");
        }
        assert_eq!(stored("a.md", Some("text/plain")), "text/plain");
    }

    // If this fails, an update without a type makes a picture of a page, or the other way round.
    #[test]
    fn an_update_without_a_type_keeps_it_as_long_as_the_name() {
        let replaced = store::Content {
            id: wire::ContentId::mint(wire::ShardNo(1), 1, 1),
            version: 1,
            filename: "a.txt".to_owned(),
            content_type: "text/x-special".to_owned(),
            collection: None,
            attributes: None,
            size: 0,
            checksum: wire::Checksum([0; 32]),
            created_ms: 1,
            updated_ms: 1,
            created_size: 0,
            created_checksum: wire::Checksum([0; 32]),
            base_checksum: None,
        };
        let updated = |filename: Option<&str>, content_type: Option<&str>| {
            let names = Names {
                filename: filename.map(str::to_owned),
                content_type: content_type.map(str::to_owned),
                ..Names::default()
            };
            let described = names.describe(&"id", Some(&replaced));
            described.expect("is fine").content_type
        };
        for sent in [None, Some("application/octet-stream")] {
            assert_eq!(updated(None, sent), "text/x-special");
            assert_eq!(updated(Some("a.txt"), sent), "text/x-special");
            assert_eq!(updated(Some("a.png"), sent), "image/png");
        }
        assert_eq!(updated(None, Some("text/plain")), "text/plain");
    }

    // If this fails, hostile names reach the disk, headers and the catalog.
    #[test]
    fn names_are_checked_before_anything_is_stored() {
        let with = |filename: &str| Names {
            filename: Some(filename.to_owned()),
            ..Names::default()
        };
        assert!(with("a\0b").describe(&"id", None).is_err());
        assert!(with("a\r\nb").describe(&"id", None).is_err());
        assert!(with(&"x".repeat(4096)).describe(&"id", None).is_err());
        let html = with("page.html").describe(&"id", None).expect("is fine");
        assert_eq!(html.content_type, "text/html");
        let unnamed = Names::default().describe(&"the-id", None).expect("is fine");
        assert_eq!(unnamed.filename, "the-id");
        assert_eq!(unnamed.content_type, "application/octet-stream");
        let attributes = Some("[]".to_owned());
        assert!(
            Names {
                attributes,
                ..Names::default()
            }
            .describe(&"id", None)
            .is_err()
        );
    }
}
