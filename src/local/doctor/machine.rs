//! The machine: room in memory and on the disks, a port, and the directories lclaude needs.

use crate::backend::subject::Subject;
use crate::base::check::{Area, Check};
use crate::base::port;
use crate::base::ui;
use std::{fs, os::unix::fs::MetadataExt, path::Path};

use rustix::fs::{Access, access, statvfs};

use crate::{
    backend::{self, BackendPlan},
    base::ui::size,
    keeper::{self, Report},
    memory::{Amount, Machine},
};

const AREA: Area = Area::Machine;

/// A log, a lock and a private file fit into it.
const LEAST_DISK: u64 = 16_000_000;
/// Below it a download or a growing log soon meets the end.
const ROOMY_DISK: u64 = 2_000_000_000;

pub async fn check(subject: &Subject<'_>, plan: Option<&BackendPlan>, checks: &mut Vec<Check>) {
    let environment = subject.environment;
    checks.push(memory(Machine::look().map(Machine::with_tools)));
    if let Some(plan) = plan {
        checks.push(fit(subject, plan));
    }
    if let Ok(runtime) = environment.places.runtime() {
        checks.push(running(&keeper::survey(runtime).await));
    }
    checks.push(Check::of(AREA, "port", port::free_port(), |_| "one is free on 127.0.0.1".into()));
    checks.push(Check::of(AREA, "runtime directory", environment.places.check_runtime(), |()| {
        format!("{} is private, or can be made so", environment.places.runtime_name().display())
    }));
    checks.push(state(&environment.places.state));
    for (name, place) in
        [("runtime disk", environment.places.runtime_name()), ("state disk", &environment.places.state)]
    {
        let place = existing(place);
        // In blocks of that size.
        let free = statvfs(place).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        checks.push(match free {
            Ok(free) => disk(name, place, free),
            Err(error) => Check::warning(AREA, name, format!("{} does not say how full it is", place.display()))
                .why(error.to_string())
                .help(format!("df -h {}", ui::quoted(place))),
        });
    }
}

fn memory(machine: Option<Machine>) -> Check {
    let of = |amount: Amount| format!("{}, {} free", size(amount.total), size(amount.free));
    match machine {
        None => Check::warning(AREA, "memory", "the system does not say how much it has").help("free -h"),
        Some(Machine { ram, graphics }) if graphics.total == 0 => Check::ok(AREA, "memory", of(ram)),
        Some(Machine { ram, graphics }) => Check::ok(AREA, "memory", format!("{}; graphics {}", of(ram), of(graphics))),
    }
}

/// Whether what would be loaded fits, by the weighing that a session does.
fn fit(subject: &Subject<'_>, plan: &BackendPlan) -> Check {
    let Subject { settings, environment, .. } = *subject;
    let name = "memory fit";
    if environment.places.runtime().is_ok_and(|runtime| keeper::is_up(runtime, plan)) {
        return Check::ok(AREA, name, "the backend is up, and has its memory");
    }
    match backend::fit::check(settings, plan, environment) {
        Err(failure) => Check::failed(AREA, name, &subject.correctable(failure)),
        Ok(Some(words)) => {
            let mut lines = words.trim_start_matches("warning: ").lines();
            let check = Check::warning(AREA, name, lines.next().unwrap_or_default());
            lines.fold(check, |check, line| check.help(line.trim().trim_start_matches("help: ")))
        }
        Ok(None) => {
            let known = backend::fit::look(settings, plan, environment);
            Check::ok(AREA, name, known.memory.unwrap_or_else(|| "known once the backend runs".into()))
        }
    }
}

/// The backends that are up, and what was left of one.
fn running(reports: &[Report]) -> Check {
    let name = "running backends";
    let ill = reports.iter().find(|report| matches!(report.state, keeper::State::Stuck | keeper::State::LeftBehind));
    if let Some(Report { about, state, .. }) = ill {
        let how = if *state == keeper::State::Stuck {
            "does not answer"
        } else {
            "was left behind by a keeper that has gone"
        };
        let found = format!("{} with {} {how}", about.kind, about.models.join(", "));
        return Check::warning(AREA, name, found).help(format!("lclaude local stop --yes {}", about.id));
    }
    let up: Vec<String> =
        reports.iter().map(|Report { about, .. }| format!("{} with {}", about.kind, about.models.join(", "))).collect();
    Check::ok(AREA, name, if up.is_empty() { "none".to_owned() } else { up.join("; ") })
}

fn disk(name: &'static str, place: &Path, free: u64) -> Check {
    let found = format!("{} free on the disk of {}", size(free), place.display());
    let see = format!("df -h {}", ui::quoted(place));
    if free < LEAST_DISK {
        Check::failure(AREA, name, found).why("a session writes a log and a private file").help(see)
    } else if free < ROOMY_DISK {
        Check::warning(AREA, name, found).why("a log that grows, or a model's download, soon fills it").help(see)
    } else {
        Check::ok(AREA, name, found)
    }
}

/// Where logs and remembered facts go.
fn state(place: &Path) -> Check {
    let name = "state directory";
    let there = existing(place);
    let shown = there.display();
    let Ok(meta) = fs::metadata(there) else {
        return Check::failure(AREA, name, format!("{shown} cannot be read"))
            .help(format!("ls -ld {}", ui::quoted(there)));
    };
    if !meta.is_dir() {
        return Check::failure(AREA, name, format!("{shown} is not a directory"))
            .why("lclaude keeps its logs there")
            .help(format!("mv {0} {0}.old", ui::quoted(there)));
    }
    if access(there, Access::WRITE_OK).is_err() {
        return Check::failure(AREA, name, format!("{shown} cannot be written to"))
            .why(format!("its owner is uid {}", meta.uid()))
            .help(format!("chmod u+w {}", ui::quoted(there)));
    }
    Check::ok(AREA, name, format!("{} can be written to", place.display()))
}

/// The nearest directory above that is there already.
fn existing(place: &Path) -> &Path {
    place.ancestors().find(|place| fs::symlink_metadata(place).is_ok()).unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::check::State;

    #[test]
    fn a_full_disk_fails_and_a_nearly_full_one_warns() {
        let state = |free| disk("state disk", Path::new("/"), free).state;
        assert_eq!(
            [state(1_000_000), state(1_000_000_000), state(8_000_000_000)],
            [State::Failure, State::Warning, State::Ok]
        );
    }
}
