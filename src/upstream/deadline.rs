//! When a request is given up.
/// A deadline.
#[derive(Clone, Debug)]
pub struct Deadline;
