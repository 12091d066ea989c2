//! When a task is asked for, and which errors are made good.

use serde_json::json;

use super::*;

#[test]
fn a_task_is_asked_for_as_its_server_suggests_within_bounds() {
    let millis = Duration::from_millis;
    for (suggested, asked, expected) in [
        (Some(millis(2000)), 7, millis(2000)),
        (Some(millis(0)), 0, BOUNDS.0),
        (Some(Duration::MAX), 0, BOUNDS.1),
        (None, 0, FIRST),
        (None, 1, FIRST * 2),
        (None, u32::MAX, PATIENT),
    ] {
        assert_eq!(pause(suggested, asked), expected, "{suggested:?} {asked}");
    }
}

#[test]
fn a_task_is_asked_for_once_more_just_before_the_end() {
    let (now, second) = (Instant::now() + Duration::from_mins(1), Duration::from_secs(1));
    let end = now + 10 * second;
    for (at, pause, asked, expected) in [
        (now, second, 3, Some(now + second)),
        (now, BOUNDS.1, 0, Some(end - LAST)),
        (now, Duration::MAX, 7, Some(end - LAST)),
        (end - LAST, BOUNDS.1, 1, None),
        (end - LAST / 2, BOUNDS.0, 9, Some(end - LAST / 2 + BOUNDS.0)),
        (end - LAST / 2, second, 9, None),
        // However short its time is, it is asked for.
        (end - LAST / 2, second, 0, Some(end - LAST / 2)),
    ] {
        assert_eq!(due(at, pause, end, asked), expected, "{pause:?} {asked}");
    }
}

#[test]
fn only_a_lack_of_tasks_is_made_good() {
    let error = |code, data: serde_json::Value| {
        ErrorObject::with_data(code, task::EXTENSION, Some(&crate::wire::raw(&data)))
    };
    let tasks = || json!({"requiredCapabilities": {"extensions": {task::EXTENSION: {}}}});
    let lack = code::MISSING_CAPABILITY;
    assert!(wants_tasks(&error(lack, tasks())));
    for (code, data) in [
        (code::INVALID_PARAMS, tasks()),
        (lack, json!({"requiredCapabilities": {"sampling": {}}})),
        (lack, json!({"requiredCapabilities": {"extensions": {"x": task::EXTENSION}}})),
        (lack, json!({"requiredCapabilities": task::EXTENSION})),
        (lack, json!(task::EXTENSION)),
    ] {
        assert!(!wants_tasks(&error(code, data.clone())), "{code} {data}");
    }
}
