//! `lclaude local models`: lists the models of every backend.
//!
//! It starts nothing: a backend that lists its models only while it runs is reported as an error beside the others'
//! models.

use serde_json::{Value, json};

use super::table::{self, Column, always, if_wide};
use crate::{
    backend::{self, Backend, BackendModel, Installed, ListedModel, Tiers},
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        ui, wait,
    },
    cli::{Choice, ModelsArguments},
    config::{Kind, Settings},
    memory::{Fit, Machine},
};

/// A row of the table.
struct Row {
    installed: BackendModel,
    tiers: Vec<&'static str>,
}

pub(crate) fn run(arguments: ModelsArguments) -> Result<u8> {
    let environment = Environment::read()?;
    let settings = arguments.choice.settings(&environment)?;
    let Choice { backend, url, .. } = &arguments.choice.choice;
    let only = settings.backend.filter(|_| backend.is_some() || url.is_some());
    let runtime = wait::event_loop()?;

    let chosen = backend::choose(&settings, &environment).ok().map(|(kind, _)| kind);
    let is_listed = |backend: &dyn Backend| only.is_none_or(|only| only == backend.kind());
    let listed = runtime.block_on(Installed::list(&settings, &environment, is_listed, chosen));
    let Installed { models: found, failures } = listed;
    // Sessions report an invalid plan. Without a plan, no tier has a model.
    let chosen = backend::plan(&settings, &environment).ok();
    let tiers = chosen.as_ref().map(|chosen| (chosen.plan.kind, &chosen.tiers));
    let machine = Machine::detect().map(Machine::with_tools);
    let row = |(kind, model)| row(kind, model, &settings, machine.as_ref(), tiers);
    let rows: Vec<Row> = found.into_iter().map(row).collect();

    if arguments.json {
        ui::print_json(&format!("{:#}\n", as_json(&settings, machine.as_ref(), &rows, &failures)));
    } else {
        print_table(&rows);
        for problem in rows.iter().filter_map(|row| row.installed.model.problem.as_ref()) {
            ui::message(format_args!("lclaude: warning: {problem}"));
        }
        for (_, failure) in &failures {
            ui::message_lines(failure);
        }
        if rows.is_empty() && failures.is_empty() {
            return Err(no_models());
        }
    }
    // A failing backend decides the exit code only if there are no models to show.
    Ok(failures.first().filter(|_| rows.is_empty()).map_or(0, |(_, failure)| failure.exit_code()))
}

fn no_models() -> Failure {
    Failure::new(Code::Unavailable, "no models found")
        .cause("no model is installed, and the configuration names none")
        .help("lclaude local setup  # asks, then downloads one")
}

fn row(
    kind: Kind,
    model: ListedModel,
    settings: &Settings,
    machine: Option<&Machine>,
    tiers: Option<(Kind, &Tiers)>,
) -> Row {
    let used_by = tiers.filter(|(used, _)| *used == kind).map(|(_, tiers)| {
        tiers.iter().filter(|(_, name)| *name == model.served).map(|(tier, _)| tier.name()).collect()
    });
    let tiers = used_by.unwrap_or_default();
    Row { installed: BackendModel::new(kind, model, settings, machine), tiers }
}

/// The version of the JSON output. Version 1 had no `format`, and spelled `quantization` with an s.
const FORMAT: u32 = 2;

const COLUMNS: [Column; 9] = [
    always("NAME"),
    always("BACKEND"),
    always("SIZE"),
    if_wide("QUANT"),
    if_wide("TRAINED"),
    always("TOOLS"),
    if_wide("THINKS"),
    always("FITS"),
    if_wide("TIERS"),
];

fn print_table(rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    let unknown = || "?".to_owned();
    let cells = |row: &Row| {
        let ListedModel { name, size, quantization, trained, tools, thinking, .. } = &row.installed.model;
        let yes = |known: &Option<bool>| known.map_or_else(unknown, |yes| if yes { "yes" } else { "no" }.to_owned());
        [
            ui::one_line(name),
            row.installed.kind.to_string(),
            size.map_or_else(unknown, ui::format_bytes),
            quantization.as_deref().map_or_else(unknown, ui::one_line),
            trained.map_or_else(unknown, |trained| trained.to_string()),
            yes(tools),
            yes(thinking),
            row.installed.fits.map_or_else(unknown, |fits| fit_name(fits).to_owned()),
            if row.tiers.is_empty() { "-".into() } else { row.tiers.join(",") },
        ]
    };
    table::print(COLUMNS, rows.iter().map(cells));
}

fn fit_name(fits: Fit) -> &'static str {
    match fits {
        Fit::Yes => "yes",
        Fit::Tight => "tight",
        Fit::No => "no",
    }
}

fn as_json(settings: &Settings, machine: Option<&Machine>, rows: &[Row], failures: &[(Kind, Failure)]) -> Value {
    let row = |row: &Row| {
        let ListedModel { name, size, quantization, trained, tools, thinking, problem, .. } = &row.installed.model;
        json!({
            "name": name,
            "backend": row.installed.kind,
            "size_bytes": size,
            "quantization": quantization,
            "trained_context": trained,
            "tools": tools,
            "thinking": thinking,
            "needs_bytes": row.installed.need,
            "fits": row.installed.fits.map(fit_name),
            "tiers": row.tiers,
            "problem": problem,
        })
    };
    let failure = |(kind, failure): &(Kind, Failure)| {
        let Failure { what, why, help, .. } = failure;
        json!({"backend": kind, "what": what, "why": why, "help": help})
    };
    json!({
        "format": FORMAT,
        "context": settings.context(),
        "memory": machine.map(|machine| json!({
            "total_bytes": machine.ram.total,
            "free_bytes": machine.ram.free,
            "graphics_total_bytes": machine.graphics.total,
            "graphics_free_bytes": machine.graphics.free,
            "graphics_limit_bytes": machine.graphics_limit,
        })),
        "models": rows.iter().map(row).collect::<Vec<_>>(),
        "errors": failures.iter().map(failure).collect::<Vec<_>>(),
    })
}
