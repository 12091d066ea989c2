//! Which era a server speaks.
