//! Events folded into the present.
