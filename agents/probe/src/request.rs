//! Parts of an HTTP request, as experiment files give them.

use std::collections::BTreeMap;

use chaos_core::fault::SpecError;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::url::Url;

/// The headers in `headers:`. None of their values will be shown.
pub(crate) fn headers(given: &BTreeMap<String, String>) -> Result<HeaderMap, SpecError> {
    let mut map = HeaderMap::new();
    for (name, value) in given {
        let path = format!("headers.{name}");
        let name: HeaderName = name.parse().map_err(|_| SpecError::new(&path, format!("`{name}` is no name of a header")))?;
        let mut value: HeaderValue =
            value.parse().map_err(|_| SpecError::new(&path, "a header's value is one line of visible characters"))?;
        value.set_sensitive(true);
        map.insert(name, value);
    }
    Ok(map)
}

/// What stands in the first line of an HTTP/1 request.
pub(crate) fn origin_form(url: &Url) -> Uri {
    url.uri()
        .path_and_query()
        .and_then(|path| Uri::builder().path_and_query(path.clone()).build().ok())
        .unwrap_or_else(|| Uri::from_static("/"))
}
