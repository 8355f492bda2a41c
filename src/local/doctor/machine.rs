//! Checks the machine: memory, disk space, ports, running backends, and the directories that lclaude needs.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use rustix::fs::{Access, access, statvfs};

use crate::{
    backend::{self, BackendPlan, subject::Subject},
    base::{
        check::{Area, Check},
        commands::SHOW_MEMORY,
        installation::Installation,
        paths::Places,
        port,
        ui::{self, format_bytes},
        variables::Variables,
    },
    config::Settings,
    keeper::{self, Report},
    memory::{Amount, Machine},
    warm::Store,
};

const AREA: Area = Area::Machine;

/// Free bytes below which a session's log, lock and private file may not fit.
const MIN_FREE: u64 = 16_000_000;
/// Free bytes below which a model download or a growing log may fill the disk.
const LOW_FREE: u64 = 2_000_000_000;

pub(crate) async fn check(subject: &Subject<'_>, plan: Option<&BackendPlan>, checks: &mut Vec<Check>) {
    let environment = subject.environment;
    checks.push(installation(&environment.variables));
    checks.push(memory(Machine::detect().map(Machine::with_tools)));
    if let Some(plan) = plan {
        checks.push(fit(subject, plan));
    }
    if let Ok(places) = environment.places.runtimes() {
        checks.push(running(&keeper::list_backends(&places).await));
    }
    checks.push(Check::of(AREA, "port", port::free_port(), |_| "a free port is available on 127.0.0.1".into()));
    checks.push(Check::of(AREA, "runtime directory", environment.places.check_runtime(), |()| {
        let used = format!("{} is private or can be created", environment.places.runtime_name().display());
        match environment.places.passed_over(&environment.variables) {
            Some(failure) => format!("{used}; XDG_RUNTIME_DIR is not used: {}", failure.what),
            None => used,
        }
    }));
    checks.push(state_directory(&environment.places.state));
    checks.push(warm_starts(subject.settings, &environment.places));
    for (name, place) in
        [("runtime disk", environment.places.runtime_name()), ("state disk", &environment.places.state)]
    {
        let place = nearest_existing(place);
        let free = statvfs(place).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        checks.push(match free {
            Ok(free) => disk(name, place, free),
            Err(error) => Check::warning(AREA, name, format!("the free disk space of {} is unknown", place.display()))
                .cause(error.to_string())
                .help(format!("df -h {}", ui::quote_path(place))),
        });
    }
}

/// Shows lclaude's version, how it was installed and how to upgrade it.
fn installation(variables: &Variables) -> Check {
    let mut found = concat!("lclaude ", env!("CARGO_PKG_VERSION")).to_owned();
    if let Some(installation) = Installation::find(variables) {
        found.push_str(&format!(", {}", installation.describe()));
        if let Some(command) = installation.upgrade(variables) {
            found.push_str(&format!("; to upgrade: {command}"));
        }
    }
    Check::ok(AREA, "installation", found)
}

fn memory(machine: Option<Machine>) -> Check {
    let Some(Machine { ram, graphics, graphics_limit, .. }) = machine else {
        return Check::warning(AREA, "memory", "the amount of memory is unknown").help(SHOW_MEMORY);
    };
    let text = |amount: Amount| format!("{}, {} free", format_bytes(amount.total), format_bytes(amount.free));
    let mut found = text(ram);
    if graphics.total > 0 {
        found += &format!("; graphics {}", text(graphics));
    }
    if let Some(limit) = graphics_limit {
        found += &format!("; graphics may use about {}", format_bytes(limit));
    }
    Check::ok(AREA, "memory", found)
}

/// Checks whether the models fit in memory, as a session does.
fn fit(subject: &Subject<'_>, plan: &BackendPlan) -> Check {
    let Subject { settings, environment, .. } = *subject;
    let name = "memory fit";
    if environment.places.runtimes().is_ok_and(|places| keeper::is_up(&keeper::place(&places, plan), plan)) {
        return Check::ok(AREA, name, "the backend is already running");
    }
    match backend::fit::check(settings, plan, environment) {
        Err(failure) => Check::failed(AREA, name, &subject.with_edit_help(failure)),
        Ok(Some(warning)) => {
            let mut lines = warning.trim_start_matches("warning: ").lines();
            let check = Check::warning(AREA, name, lines.next().unwrap_or_default());
            lines.fold(check, |check, line| check.help(line.trim().trim_start_matches("help: ")))
        }
        Ok(None) => {
            let known = backend::fit::inspect(settings, plan, environment);
            Check::ok(AREA, name, known.memory.unwrap_or_else(|| "unknown until the backend runs".into()))
        }
    }
}

/// Lists the running backends, and warns about one that is stuck or left behind.
fn running(reports: &[Report]) -> Check {
    let name = "running backends";
    let broken = reports.iter().find(|report| matches!(report.state, keeper::State::Stuck | keeper::State::LeftBehind));
    if let Some(Report { about, state, .. }) = broken {
        let problem = if *state == keeper::State::Stuck {
            "does not respond"
        } else {
            "was left behind by a keeper that no longer runs"
        };
        let found = format!("{} with {} {problem}", about.kind, about.models.join(", "));
        return Check::warning(AREA, name, found).help(format!("lclaude local stop --yes {}", about.id));
    }
    let up: Vec<String> =
        reports.iter().map(|Report { about, .. }| format!("{} with {}", about.kind, about.models.join(", "))).collect();
    Check::ok(AREA, name, if up.is_empty() { "none".to_owned() } else { up.join("; ") })
}

fn disk(name: &'static str, place: &Path, free: u64) -> Check {
    let found = format!("{} free on the disk of {}", format_bytes(free), place.display());
    let help = format!("df -h {}", ui::quote_path(place));
    if free < MIN_FREE {
        Check::failure(AREA, name, found).cause("a session needs space for a log and a private file").help(help)
    } else if free < LOW_FREE {
        Check::warning(AREA, name, found).cause("a model download or a growing log may fill it").help(help)
    } else {
        Check::ok(AREA, name, found)
    }
}

/// Checks the directory for logs and state files.
fn state_directory(place: &Path) -> Check {
    let name = "state directory";
    let existing = nearest_existing(place);
    let shown = existing.display();
    let Ok(meta) = fs::metadata(existing) else {
        return Check::failure(AREA, name, format!("{shown} cannot be read"))
            .help(format!("ls -ld {}", ui::quote_path(existing)));
    };
    if !meta.is_dir() {
        return Check::failure(AREA, name, format!("{shown} is not a directory"))
            .cause("lclaude keeps its logs there")
            .help(format!("mv {0} {0}.old", ui::quote_path(existing)));
    }
    if access(existing, Access::WRITE_OK).is_err() {
        return Check::failure(AREA, name, format!("{shown} is not writable"))
            .cause(format!("its owner is uid {}", meta.uid()))
            .help(format!("chmod u+w {}", ui::quote_path(existing)));
    }
    Check::ok(AREA, name, format!("{} is writable", place.display()))
}

/// Checks the directory of what is kept to start sessions faster. A session works without it.
fn warm_starts(settings: &Settings, places: &Places) -> Check {
    let name = "warm starts";
    let store = Store::at(places, settings.warm.max_size);
    let directory = store.directory();
    let existing = nearest_existing(directory);
    let unusable = |why: String| {
        Check::warning(AREA, name, format!("{} cannot be used", directory.display()))
            .cause(format!("{why}; sessions start slower"))
            .help(format!("ls -ld {}", ui::quote_path(existing)))
    };
    if !settings.warm.enabled {
        return Check::ok(AREA, name, "off");
    }
    let used = match store.usage() {
        Ok(usage) => usage.bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return unusable(error.to_string()),
    };
    if access(existing, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return unusable(format!("{} is not writable", existing.display()));
    }
    let most = format_bytes(settings.warm.max_size);
    Check::ok(AREA, name, format!("{} of at most {most} in {}", format_bytes(used), directory.display()))
}

/// Returns `place` if it exists, or else the nearest existing directory above it.
fn nearest_existing(place: &Path) -> &Path {
    place.ancestors().find(|place| fs::symlink_metadata(place).is_ok()).unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::check::Severity;

    #[test]
    fn full_disk_fails_and_nearly_full_disk_warns() {
        let state = |free| disk("state disk", Path::new("/"), free).state;
        assert_eq!(
            [state(1_000_000), state(1_000_000_000), state(8_000_000_000)],
            [Severity::Failure, Severity::Warning, Severity::Ok]
        );
    }
}
