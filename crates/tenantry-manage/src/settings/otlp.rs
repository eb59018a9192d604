use std::ffi::OsString;

use url::Url;

use super::key::{Found, Origin};
use crate::Error;

/// Where traces are taken, below a collector's address.
const TRACES: &str = "/v1/traces";

/// Where traces are exported to: what the setting says, or else OpenTelemetry's own variables, which say
/// nothing to a program that was built without it.
pub(super) fn endpoint(
    set: Option<Found>,
    environment: impl Fn(&str) -> Option<OsString>,
    is_built_in: bool,
) -> Result<Option<Url>, Error> {
    if let Some(found) = set {
        let origin = found.origin.clone();
        let url = found.secret().parsed(|text| collector(text, TRACES))?;
        return match is_built_in {
            true => Ok(Some(url)),
            false => Err(Error::NoOtlp(origin)),
        };
    }
    let of = |name: &str| environment(name).filter(|value| !value.is_empty());
    let is_off = of("OTEL_SDK_DISABLED").is_some_and(|told| told.eq_ignore_ascii_case("true"));
    if is_off || !is_built_in {
        return Ok(None);
    }
    // as it stands, and as the address of the collector
    for (name, path) in [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", TRACES),
    ] {
        if let Some(value) = of(name) {
            let found = Found::new(value, Origin::Environment(name.into())).secret();
            return found.parsed(|text| collector(text, path)).map(Some);
        }
    }
    Ok(None)
}

/// A collector's URL, with that path below its own.
fn collector(text: &str, path: &str) -> Result<Url, &'static str> {
    const WRONG: &str = "must be a URL, as http://localhost:4318, with no user or query: what lets us in is \
         told by OTEL_EXPORTER_OTLP_HEADERS";
    let mut url = Url::parse(text).map_err(|_| WRONG)?;
    let is_one = ["http", "https"].contains(&url.scheme())
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !is_one {
        return Err(WRONG);
    }
    let own = url.path().trim_end_matches('/');
    if !own.ends_with(path) {
        let whole = format!("{own}{path}");
        url.set_path(&whole);
    }
    Ok(url)
}
