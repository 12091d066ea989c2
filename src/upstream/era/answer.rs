//! What a server's answers to the handshake mean.
//!
//! Pure: reads raw results and errors, asks nothing and waits for nothing.

use serde::Deserialize;

use crate::{
    upstream::{ServerFacts, stderr::cut},
    wire::{ErrorObject, Object, RawValue, Revision, envelope::code, meta},
};

/// Characters of a server's own words in an error.
const WORDS: usize = 200;

/// What a server made of `server/discover`.
pub(in crate::upstream) enum Probe {
    /// It speaks a revision of ours.
    Modern(ServerFacts),
    /// It speaks modern revisions only, none of them ours.
    Stranger(String),
    /// It refused in the way of a modern server.
    Refused(ErrorObject),
    /// It does not know what was asked.
    Legacy,
    /// It said nothing in time.
    Silent,
    /// It is gone.
    Gone,
}

/// Reads the result of `server/discover`.
pub(in crate::upstream) fn discovered(result: &RawValue, pid: Option<u32>) -> Probe {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Discovered {
        supported_versions: Vec<String>,
        capabilities: Box<RawValue>,
        #[serde(default)]
        instructions: Option<String>,
    }
    let Ok(discovered) = serde_json::from_str::<Discovered>(result.get()) else {
        return Probe::Legacy;
    };
    if Object::read(&discovered.capabilities).is_none() {
        return Probe::Legacy;
    }
    match choice(&discovered.supported_versions) {
        Choice::Modern(revision) => Probe::Modern(ServerFacts {
            era: revision.era(),
            revision,
            info: meta::key(Some(result), meta::SERVER_INFO).map(Into::into),
            capabilities: discovered.capabilities.into(),
            instructions: discovered.instructions.map(Into::into),
            pid,
        }),
        Choice::Stranger(revisions) => Probe::Stranger(revisions),
        Choice::Legacy => Probe::Legacy,
    }
}

/// What an error to the probe tells: only a modern server knows the codes of its era.
pub(in crate::upstream) fn offered(error: ErrorObject) -> Probe {
    #[derive(Deserialize)]
    struct Body {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        supported: Vec<String>,
    }
    match error.code() {
        code::HEADER_MISMATCH | code::MISSING_CAPABILITY => Probe::Refused(error),
        code::UNSUPPORTED_VERSION => {
            let supported = serde_json::from_str::<Body>(error.raw().get())
                .map(|Body { data }| data.supported)
                .unwrap_or_default();
            match choice(&supported) {
                Choice::Stranger(revisions) => Probe::Stranger(revisions),
                Choice::Modern(_) => Probe::Refused(error),
                Choice::Legacy => Probe::Legacy,
            }
        }
        _ => Probe::Legacy,
    }
}

/// Reads the result of `initialize`, or says what is wrong with it.
pub(in crate::upstream) fn initialised(
    result: &RawValue,
    pid: Option<u32>,
) -> Result<ServerFacts, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Initialised {
        protocol_version: String,
        capabilities: Box<RawValue>,
        #[serde(default)]
        server_info: Option<Box<RawValue>>,
        #[serde(default)]
        instructions: Option<String>,
    }
    let initialised: Initialised = serde_json::from_str(result.get())
        .map_err(|error| format!("the result of initialize is not one: {error}"))?;
    if Object::read(&initialised.capabilities).is_none() {
        return Err("the `capabilities` in the result of initialize are no object".to_owned());
    }
    let named = &initialised.protocol_version;
    let revision = Revision::parse(named)
        .filter(|revision| *revision <= Revision::LATEST_LEGACY)
        .ok_or_else(|| {
        format!(
            "the server answered initialize with the revision {:?}, which cannot follow it; \
                 {} to {} can",
            cut(named, WORDS),
            Revision::V2024_11_05,
            Revision::LATEST_LEGACY,
        )
    })?;
    Ok(ServerFacts {
        era: revision.era(),
        revision,
        info: initialised.server_info.map(Into::into),
        capabilities: initialised.capabilities.into(),
        instructions: initialised.instructions.map(Into::into),
        pid,
    })
}

/// Which of a server's revisions is ours.
enum Choice {
    Modern(Revision),
    Legacy,
    Stranger(String),
}

/// Chooses among the revisions that a server offers; dates compare as text.
fn choice(offered: &[String]) -> Choice {
    let modern = Revision::MODERN
        .into_iter()
        .find(|revision| offered.iter().any(|name| name == revision.as_str()));
    if let Some(revision) = modern {
        return Choice::Modern(revision);
    }
    let strange = |name: &String| name.as_str() > Revision::LATEST_LEGACY.as_str();
    if offered.is_empty() || !offered.iter().all(strange) {
        return Choice::Legacy;
    }
    Choice::Stranger(cut(&offered.join(", "), WORDS))
}
