//! `now`: the time of day in a named zone.

use jiff::{
    Timestamp,
    tz::{TimeZone, db},
};
use rmcp::model::{CallToolResult, Tool, ToolAnnotations};
use serde::Deserialize;
use serde_json::json;

use super::tool::Outcome;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Now {
    #[serde(default = "utc")]
    zone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

pub(super) fn definition(name: &'static str) -> Tool {
    let input = rmcp::object!({
        "type": "object",
        "properties": {
            "zone": {
                "type": "string",
                "description": "An IANA time zone such as \"Europe/Berlin\".",
                "default": "UTC"
            }
        },
        "additionalProperties": false
    });
    let output = rmcp::object!({
        "type": "object",
        "properties": {
            "time": {
                "type": "string",
                "format": "date-time",
                "description": "Local time with its offset from UTC, to the second."
            },
            "zone": {"type": "string", "description": "The zone's own name."},
            "weekday": {"type": "string", "description": "The day there, in English."}
        },
        "required": ["time", "zone", "weekday"],
        "additionalProperties": false
    });
    let hints = ToolAnnotations::new().read_only(true).destructive(false).open_world(false);
    Tool::new(name, "Tells the current time in a time zone.", input)
        .with_title("Current time")
        .with_raw_output_schema(output.into())
        .with_annotations(hints)
}

pub(super) fn now(Now { zone }: Now) -> Outcome {
    at(Timestamp::now(), &zone)
}

fn at(time: Timestamp, zone: &str) -> Outcome {
    let found = TimeZone::get(zone).map_err(|_| unknown(zone))?;
    let name = found.iana_name().unwrap_or(zone).to_owned();
    let local = time.to_zoned(found);
    Ok(CallToolResult::structured(json!({
        "time": local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        "zone": name,
        "weekday": local.strftime("%A").to_string(),
    })))
}

/// The name that was most likely meant is worth more to a caller than a list of six hundred.
fn unknown(zone: &str) -> String {
    let likeness = |name: &str| strsim::jaro_winkler(&name.to_lowercase(), &zone.to_lowercase());
    let near = db()
        .available()
        .map(|name| name.as_str().to_owned())
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
        .filter(|name| likeness(name) > 0.8);
    match near {
        Some(near) => format!("there is no time zone {zone:?}; did you mean {near:?}?"),
        None => format!(
            "there is no time zone {zone:?}; use an IANA name such as \"Europe/Berlin\", \
             \"America/New_York\" or \"UTC\""
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_local_to_the_zone() {
        let time: Timestamp = "2026-11-20T23:30:00Z".parse().unwrap();
        let answer = |zone| at(time, zone).unwrap().structured_content.unwrap();
        assert_eq!(
            answer("europe/berlin"),
            json!({"time": "2026-11-21T00:30:00+01:00", "zone": "Europe/Berlin", "weekday": "Saturday"})
        );
        assert_eq!(answer("UTC")["time"], "2026-11-20T23:30:00+00:00");
    }

    #[test]
    fn a_wrong_zone_names_the_likely_one() {
        let why = |zone| at(Timestamp::UNIX_EPOCH, zone).unwrap_err();
        assert!(why("Europe/Berln").contains("\"Europe/Berlin\"?"));
        assert!(why("?!").contains("an IANA name"));
    }
}
