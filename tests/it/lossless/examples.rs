//! The published example messages, each as a part of an exchange.

use std::fs;

use crate::support::schema::folder;

use super::{
    body::{Case, Kind},
    tree::Tree,
};

/// Where an example has its place.
#[derive(Debug)]
pub enum Place {
    /// One exchange each.
    Cases(Vec<Case>),
    /// Entries of a list, by the list's member.
    Definitions(&'static str, Vec<Tree>),
    /// Switchboard says or takes it itself on each leg: it passes nowhere.
    OfOneLeg,
}

/// Every example with its type and its place.
pub fn all() -> Vec<(String, Place)> {
    let mut found = Vec::new();
    for kind in fs::read_dir(folder().join("examples-2026-07-28")).unwrap() {
        let kind = kind.unwrap().path();
        let name = kind.file_name().unwrap().to_str().unwrap().to_owned();
        for file in fs::read_dir(&kind).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap().replace(['\n', '\r'], " ");
            found.push((name.clone(), place(&name, &Tree::read(&text))));
        }
    }
    assert!(found.len() >= 129, "only {} examples: are the files there?", found.len());
    found
}

fn place(name: &str, it: &Tree) -> Place {
    let params = it.get("params").unwrap_or(it);
    let result = it.get("result").unwrap_or(it);
    let of_result = |kind| Place::Cases(vec![Case { result: result.write(), ..base(kind) }]);
    let of_request = |kind| Place::Cases(vec![Case { params: own(params), ..base(kind) }]);
    let block = || format!(r#"{{"content":[{}]}}"#, it.write());
    let contents = || format!(r#"{{"contents":[{}],"ttlMs":0,"cacheScope":"public"}}"#, it.write());
    let one = |case| Place::Cases(vec![case]);
    let listed = |member| Place::Definitions(member, result.at(&[member]).entries().to_vec());
    match name {
        "CallToolResult" | "CallToolResultResponse" => of_result(Kind::Tool),
        "GetPromptResult" | "GetPromptResultResponse" => of_result(Kind::Prompt),
        "ReadResourceResult" | "ReadResourceResultResponse" => of_result(Kind::Resource),
        "CompleteResult" | "CompleteResultResponse" => of_result(Kind::Template),
        "AudioContent" | "EmbeddedResource" | "ImageContent" | "ResourceLink" | "TextContent" => {
            one(Case { result: block(), ..base(Kind::Tool) })
        }
        "BlobResourceContents" | "TextResourceContents" => {
            one(Case { result: contents(), ..base(Kind::Resource) })
        }
        "CallToolRequest" | "CallToolRequestParams" => of_request(Kind::Tool),
        "GetPromptRequest" | "GetPromptRequestParams" => of_request(Kind::Prompt),
        "ReadResourceRequest" => of_request(Kind::Resource),
        "CompleteRequest" | "CompleteRequestParams" => of_request(Kind::Template),
        "Tool" => Place::Definitions("tools", vec![it.clone()]),
        "Resource" => Place::Definitions("resources", vec![it.clone()]),
        "ListToolsResult" | "ListToolsResultResponse" => listed("tools"),
        "ListPromptsResult" | "ListPromptsResultResponse" => listed("prompts"),
        "ListResourcesResult" | "ListResourcesResultResponse" => listed("resources"),
        "ListResourceTemplatesResult" | "ListResourceTemplatesResultResponse" => {
            listed("resourceTemplates")
        }
        "LoggingMessageNotification" | "LoggingMessageNotificationParams" => {
            one(Case { log: Some(own(params)), ..base(Kind::Tool) })
        }
        "ProgressNotification" | "ProgressNotificationParams" => {
            one(Case { progress: Some(own(params)), ..base(Kind::Tool) })
        }
        "HeaderMismatchError"
        | "InternalError"
        | "InvalidParamsError"
        | "MethodNotFoundError"
        | "MissingRequiredClientCapabilityError"
        | "ParseError"
        | "UnsupportedProtocolVersionError" => {
            let error = it.get("error").unwrap_or(it).write();
            one(Case { error: Some(error), ..base(Kind::Prompt) })
        }
        _ => asking(name, it),
    }
}

/// What is asked, and what answers it.
fn asking(name: &str, it: &Tree) -> Place {
    let one = |asks: &str, question: String| {
        Place::Cases(vec![Case { asks: asks.to_owned(), question, ..base(Kind::Tool) }])
    };
    let answer = |answer: &Tree| Case { answer: answer.write(), ..base(Kind::Tool) };
    let requests = |requests: &Tree| {
        let Tree::Object(requests) = requests else { panic!("no requests: {requests:?}") };
        let case = |(_, request): &(String, Tree)| Case {
            asks: request.at(&["method"]).text().unwrap(),
            question: request.get("params").map_or("{}".to_owned(), Tree::write),
            ..base(Kind::Tool)
        };
        Place::Cases(requests.iter().map(case).collect())
    };
    let sampling =
        |messages: &str, more: &str| format!(r#"{{"messages":[{messages}],"maxTokens":10{more}}}"#);
    let text = it.write();
    match name {
        "ElicitRequest" | "CreateMessageRequest" | "ListRootsRequest" => {
            requests(&Tree::Object(vec![("\"k\"".to_owned(), it.clone())]))
        }
        "ElicitRequestFormParams" | "ElicitRequestURLParams" => one("elicitation/create", text),
        "CreateMessageRequestParams" => one("sampling/createMessage", text),
        "InputRequests" => requests(it),
        "InputRequiredResult" => {
            requests(it.get("inputRequests").unwrap_or(&Tree::Object(Vec::new())))
        }
        "BooleanSchema"
        | "NumberSchema"
        | "StringSchema"
        | "TitledMultiSelectEnumSchema"
        | "TitledSingleSelectEnumSchema"
        | "UntitledMultiSelectEnumSchema"
        | "UntitledSingleSelectEnumSchema" => one(
            "elicitation/create",
            format!(
                r#"{{"message":"m","requestedSchema":{{"type":"object","properties":{{"k":{text}}}}}}}"#
            ),
        ),
        "ModelPreferences" => {
            one("sampling/createMessage", sampling("", &format!(r#","modelPreferences":{text}"#)))
        }
        "SamplingMessage" => one("sampling/createMessage", sampling(&text, "")),
        "ToolResultContent" | "ToolUseContent" => one(
            "sampling/createMessage",
            sampling(&format!(r#"{{"role":"user","content":{text}}}"#), ""),
        ),
        "ElicitResult" | "CreateMessageResult" | "ListRootsResult" => {
            Place::Cases(vec![answer(it)])
        }
        "InputResponses" => {
            let Tree::Object(answers) = it else { panic!("no answers: {text}") };
            Place::Cases(answers.iter().map(|(_, it)| answer(it)).collect())
        }
        "Root" => {
            let roots = Tree::read(&format!(r#"{{"roots":[{text}]}}"#));
            Place::Cases(vec![answer(&roots)])
        }
        "CancelledNotification"
        | "CancelledNotificationParams"
        | "ClientCapabilities"
        | "DiscoverRequest"
        | "DiscoverResult"
        | "DiscoverResultResponse"
        | "ListPromptsRequest"
        | "ListResourceTemplatesRequest"
        | "ListResourcesRequest"
        | "ListToolsRequest"
        | "PaginatedRequestParams"
        | "PromptListChangedNotification"
        | "ResourceListChangedNotification"
        | "ResourceUpdatedNotification"
        | "ResourceUpdatedNotificationParams"
        | "ServerCapabilities"
        | "SubscriptionsAcknowledgedNotification"
        | "SubscriptionsListenRequest"
        | "SubscriptionsListenResult"
        | "SubscriptionsListenResultResponse"
        | "ToolListChangedNotification" => Place::OfOneLeg,
        _ => panic!("{name} has no place yet"),
    }
}

/// An exchange of next to nothing.
fn base(kind: Kind) -> Case {
    let result = match kind {
        Kind::Tool => r#"{"content":[]}"#,
        Kind::Prompt => r#"{"messages":[]}"#,
        Kind::Resource => r#"{"contents":[],"ttlMs":0,"cacheScope":"private"}"#,
        Kind::Template => r#"{"completion":{"values":[]}}"#,
    };
    let params = match kind {
        Kind::Template => r#""argument":{"name":"n","value":"v"}"#,
        Kind::Tool | Kind::Prompt | Kind::Resource => "",
    };
    Case {
        kind,
        params: params.to_owned(),
        meta: String::new(),
        result: result.to_owned(),
        progress: None,
        log: None,
        error: None,
        asks: "elicitation/create".to_owned(),
        question: r#"{"message":"m","requestedSchema":{"type":"object","properties":{}}}"#
            .to_owned(),
        answer: r#"{"action":"decline"}"#.to_owned(),
    }
}

/// The members of a body that the exchange does not say by itself.
fn own(body: &Tree) -> String {
    const SAID: [&str; 7] =
        ["name", "uri", "ref", "_meta", "progressToken", "inputResponses", "requestState"];
    let Tree::Object(members) = body else { panic!("no object: {body:?}") };
    let is_own = |(key, _): &&(String, Tree)| !SAID.contains(&key.trim_matches('"'));
    Tree::Object(members.iter().filter(is_own).cloned().collect())
        .write()
        .trim_start_matches('{')
        .strip_suffix('}')
        .unwrap()
        .to_owned()
}
