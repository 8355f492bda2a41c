//! One session: its plan, the child that it runs, and the run itself.

pub mod child;
pub mod dry_run;
pub mod plan;
pub mod run;
pub mod verdict;
