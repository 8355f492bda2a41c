//! `lclaude local status`: the backends that are up, and who holds them.
//!
//! It only looks: it takes no lease, wakes nobody and makes no file.

mod json;
mod text;
mod watch;

use std::path::Path;

use tokio::task::JoinSet;

use crate::{
    backend::{Figures, figures},
    error::Result,
    keeper::{self, Report},
    launch,
    paths::Places,
    ui,
};

/// The backends that are up, and who uses them
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Show it live, until q or Ctrl-C
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A backend, and how it is getting on.
struct Seen {
    report: Report,
    figures: Figures,
    /// Bytes in memory, of our processes behind it.
    resident: Option<u64>,
}

pub fn run(arguments: Arguments) -> Result<u8> {
    let places = Places::find()?;
    let runtime = launch::event_loop()?;
    if arguments.watch {
        return runtime.block_on(watch::run(places.runtime()?));
    }
    let seen = runtime.block_on(look(places.runtime()?));
    ui::print(&if arguments.json { json::text(&seen) } else { text::all(&seen) });
    Ok(0)
}

/// The oldest first.
async fn look(runtime: &Path) -> Vec<Seen> {
    // At once: a server that does not answer costs one wait.
    let mut looking = JoinSet::new();
    for (at, report) in keeper::survey(runtime).await.into_iter().enumerate() {
        looking.spawn(async move {
            let figures = match &report.endpoint {
                Some(endpoint) => figures(&report.about.kind, endpoint, &report.about.models).await,
                None => Figures::default(),
            };
            let resident = report.group.map(|group| group.resident());
            (at, Seen { report, figures, resident })
        });
    }
    let mut seen = looking.join_all().await;
    seen.sort_by_key(|(at, _)| *at);
    seen.into_iter().map(|(_, seen)| seen).collect()
}
