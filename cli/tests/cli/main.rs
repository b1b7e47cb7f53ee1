//! The command as a user meets it: real processes, exit codes, what is on standard output and what is not.

mod bad_input;
mod descriptors;
mod documents;
mod ends;
mod events;
mod gone;
mod groups;
mod holding;
mod ignored;
mod memory;
mod numbers;
mod objects;
mod policies;
mod rings;
mod round_trip;
mod services;
mod sharing;
mod streams;
mod support;
mod times;
mod turns;
mod values;
mod verbs;
