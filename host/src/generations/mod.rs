//! Generations: one loaded version of one plugin each, from candidate to retired.
//!
//! [`core`] decides, without I/O and without a clock of its own: events come in, commands go out. [`keeper`] is the loop
//! that carries them out, with files from [`crate::reload`] and pools from [`crate::plugin`]. [`roster`] is what others see.
//!
//! Architecture invariant: the keeper is the only one that changes the router and the roster.

mod candidates;
mod core;
mod keeper;
mod roster;
mod state;
mod version;

pub(crate) use keeper::{Keeper, KeeperHandle, try_open};
pub(crate) use roster::{Generation, Lists, PluginEvent, Refusal, Roster};
pub(crate) use state::State;
