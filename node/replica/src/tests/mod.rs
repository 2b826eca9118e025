//! One test for each rule of the core: a state and an event give exactly these effects.
