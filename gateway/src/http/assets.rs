//! Files that are a part of the gateway: the console, and the client library.

use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::{Response, StatusCode};

use super::settings::Settings;
use super::{Body, reply};

#[derive(Debug)]
pub(super) struct Asset {
    path: &'static str,
    media_type: &'static str,
    content: &'static str,
    /// The client library, which is served without the console, too.
    pub(super) is_library: bool,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! console {
    ($name:literal, $media_type:expr) => {
        Asset {
            path: concat!("/console/", $name),
            media_type: $media_type,
            content: include_str!(concat!("../../console/", $name)),
            is_library: false,
        }
    };
}

const ASSETS: &[Asset] = &[
    Asset {
        path: "/",
        media_type: HTML,
        content: include_str!("../../console/index.html"),
        is_library: false,
    },
    Asset {
        path: "/client.js",
        media_type: JS,
        content: include_str!("../../client/client.js"),
        is_library: true,
    },
    console!("console.css", CSS),
    console!("address.js", JS),
    console!("console.js", JS),
    console!("csv.js", JS),
    console!("dom.js", JS),
    console!("result.js", JS),
    console!("tasks.js", JS),
    console!("words.js", JS),
    console!("work.js", JS),
    console!("form/fields.js", JS),
    console!("form/file.js", JS),
    console!("form/form.js", JS),
    console!("form/groups.js", JS),
    console!("form/rows.js", JS),
    console!("form/schema.js", JS),
    console!("icon.svg", SVG),
];

/// Scripts, styles and images of the console's own, and nothing from anywhere else; results are shown from data and
/// blob URLs. Documents that tasks result in are shown under the same policy, in frames without any rights; they have
/// their styles in them.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/// What is served under that path.
pub(super) fn find(settings: &Settings, path: &str) -> Option<&'static Asset> {
    ASSETS
        .iter()
        .find(|asset| asset.path == path && (asset.is_library || settings.console))
}

pub(super) fn serve(asset: &Asset) -> Response<Body> {
    let media_type = HeaderValue::from_static(asset.media_type);
    let mut response = reply::new(StatusCode::OK, media_type, asset.content);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    response
}
