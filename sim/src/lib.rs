//! Runs the engine under faults chosen by a seed.
