//! Which lists of a view changed since a client was told.
//!
//! What happened several times is told once. It knows no transport.

use tokio::sync::watch;

use crate::{
    access::Versions,
    wire::{Primitive, method},
};

/// The lists that clients are told of, by what tells them.
pub(crate) const TOLD: [(&str, &[Primitive]); 3] = [
    (method::TOOLS_CHANGED, &[Primitive::Tool]),
    (method::PROMPTS_CHANGED, &[Primitive::Prompt]),
    (method::RESOURCES_CHANGED, &[Primitive::Resource, Primitive::Template]),
];

/// What a client knows of a view's versions.
#[derive(Clone, Debug)]
pub(crate) struct Changes {
    versions: watch::Receiver<Versions>,
    told: Versions,
}

impl Changes {
    /// Whoever begins here knows the lists as they are.
    pub(crate) fn new(versions: watch::Receiver<Versions>) -> Self {
        let told = *versions.borrow();
        Self { versions, told }
    }

    /// Waits until there is something to tell; `false` when the view is no more.
    pub(crate) async fn come(&mut self) -> bool {
        self.versions.wait_for(|versions| *versions != self.told).await.is_ok()
    }

    /// The notifications that are due; they count as told.
    pub(crate) fn take(&mut self) -> Vec<&'static str> {
        let now = *self.versions.borrow_and_update();
        let told = std::mem::replace(&mut self.told, now);
        let differs = |primitive: &Primitive| now.get(*primitive) != told.get(*primitive);
        let due = TOLD.into_iter().filter(|(_, lists)| lists.iter().any(differs));
        due.map(|(notification, _)| notification).collect()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn each_list_that_changed_is_told_once() {
        let (versions, receiver) = watch::channel(Versions { tools: 7, ..Versions::default() });
        let mut changes = Changes::new(receiver);
        assert!(changes.come().now_or_never().is_none(), "what was there is known");
        versions.send_modify(|it| it.prompts += 1);
        versions.send_modify(|it| it.templates += 2);
        versions.send_modify(|it| it.resources += 1);
        assert!(changes.come().await);
        assert_eq!(changes.take(), [method::PROMPTS_CHANGED, method::RESOURCES_CHANGED]);
        assert!(changes.take().is_empty() && changes.come().now_or_never().is_none());
        drop(versions);
        assert!(!changes.come().await);
    }
}
