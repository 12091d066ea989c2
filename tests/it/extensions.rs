//! What the protocol itself does not name: methods and notifications of extensions, capabilities
//! that go beyond it, roots of the configuration, with real children of both eras.

mod calls;
mod host;
mod roots;
mod told;
