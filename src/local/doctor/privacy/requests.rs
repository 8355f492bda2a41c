//! Where the requests of a session go, and what its tools can do.

use crate::{
    backend::{Service, address::is_remote, registry},
    base::{
        check::{Area, Check},
        commands::{CONNECTIONS, all_connections},
        environment::Environment,
        error::Result,
        ui,
    },
    claude::{NO_PREFLIGHT, WEB_SEARCH, config_dir},
    cli::Selection,
    config::{Settings, url_kind},
    session::{plan::Plan, served_model},
};

const AREA: Area = Area::Requests;

pub(super) fn checks(settings: Settings, environment: &Environment, choice: &Selection) -> Vec<Check> {
    let session = choice.session_line();
    let user_settings = ui::quote_path(&config_dir(environment).join("settings.json"));
    let found = match served_model::is_asked(&settings) {
        true => server(&settings, environment, &session),
        false => Plan::new(settings, environment.clone()).map(|plan| backend(&plan, &session)),
    };
    let mut checks = found.unwrap_or_else(|failure| vec![Check::failed(AREA, "backend", &failure)]);
    checks.extend([
        Check::ok(AREA, "Claude Code", "sends prompts, files and answers to the backend and to no other address")
            .help(CONNECTIONS)
            .help(all_connections(&session)),
        Check::ok(AREA, "lclaude", "contacts its backend only: no telemetry, no update check, no proxy in between")
            .help(all_connections(&session)),
        Check::ok(AREA, WEB_SEARCH, "is off, since it runs on Anthropic's servers")
            .help(format!("{session} --dry-run | grep '  without.*{WEB_SEARCH}'")),
        Check::ok(
            AREA,
            "WebFetch",
            format!("fetches the pages that the model asks for, from this machine; Anthropic isn't asked about them ({NO_PREFLIGHT})"),
        )
        .help(format!("{session} --disallowedTools WebFetch  # starts a session without it")),
        Check::ok(AREA, "Bash, hooks", "run any command that you or your settings allow, also over the network")
            .help(format!("grep -s -A9 -e '\"allow\"' -e '\"hooks\"' {user_settings} .claude/settings*.json")),
        Check::ok(AREA, "MCP servers", "are programs and addresses of your own, which get what the model sends them")
            .help(format!("{} mcp list", choice.choice.line(&["lclaude"], None))),
    ]);
    checks
}

/// Says which server gets the prompts if only that server knows its model. Doesn't ask it.
///
/// # Errors
/// `Config` if the URL, the token or a header is invalid.
fn server(settings: &Settings, environment: &Environment, session: &str) -> Result<Vec<Check>> {
    let endpoint = registry::backend(url_kind()).endpoint(settings, environment)?;
    let url = endpoint.map(|endpoint| endpoint.url).unwrap_or_default();
    let shown = format!("{session} --dry-run");
    let found = format!("prompts go to {}", place(&url));
    Ok(vec![match is_remote(&url) {
        true => Check::warning(AREA, "backend", found).help(shown),
        false => Check::ok(AREA, "backend", found).help(shown),
    }])
}

/// Describes a server that somebody else runs.
fn place(url: &str) -> String {
    match is_remote(url) {
        true => format!("{url}, on another machine"),
        false => format!("{url}, on this machine; what that server sends on is its own matter"),
    }
}

/// Says which server gets the prompts, and who else can use it.
fn backend(plan: &Plan, session: &str) -> Vec<Check> {
    let backend = &plan.backend;
    let shown = format!("{session} --dry-run");
    let models = backend.model_list();
    let (found, is_elsewhere, access) = match &backend.service {
        Service::Running(url) => (format!("{models} at {}", place(url)), is_remote(url), None),
        Service::Program(program) => {
            let has_key = program.key_variable.is_some() || program.fills_token;
            let access = match has_key {
                true => "takes a random key of each run, which only lclaude and Claude Code know",
                false => "takes no key, so other users of this machine can use it while it runs",
            };
            let found = format!("{models} by {} on a free port of 127.0.0.1, on this machine", backend.kind);
            (found, false, Some(access))
        }
        Service::Managed { title, .. } => {
            let access = "takes no key, so other users of this machine can use it while it runs";
            (format!("{models} by {title} on 127.0.0.1, on this machine"), false, Some(access))
        }
    };
    let mut checks = vec![match (registry::backend(backend.kind).sends_prompts_to(backend), is_elsewhere) {
        (Some(place), _) => {
            Check::warning(AREA, "backend", format!("{found}; that server sends your code to {place}")).help(shown)
        }
        (None, true) => Check::warning(AREA, "backend", format!("{found}: your code is sent there")).help(shown),
        (None, false) => Check::ok(AREA, "backend", found).help(shown),
    }];
    if let Some(access) = access {
        checks.push(Check::ok(AREA, "access", format!("the server {access}")).help("lclaude local status  # its port"));
    }
    checks
}
