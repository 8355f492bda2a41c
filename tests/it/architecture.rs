//! The source is layered: each room imports only from the rooms below it, and no two files import each other, not even
//! in a circle.
//!
//! The order of the rooms is written here, once; `docs/architecture.md` shows the same order.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{Attribute, Item, ItemMod, ItemUse, UseTree, visit::Visit};

/// The rooms, from the ground up. The rooms of one line don't import each other.
const LAYERS: &[&[&str]] = &[
    &["base"],
    &["config", "memory"],
    &["warm"],
    &["backend"],
    &["claude"],
    &["keeper"],
    &["cli"],
    &["session"],
    &["launch"],
    &["local"],
    &["complete"],
];

/// A module by the names that lead to it, the crate's root being empty.
type Module = Vec<String>;

/// Every module that is a file, with what it imports.
struct Source {
    files: BTreeMap<Module, PathBuf>,
    imports: BTreeMap<Module, BTreeSet<Module>>,
}

impl Source {
    fn read() -> Self {
        let mut source = Source { files: BTreeMap::new(), imports: BTreeMap::new() };
        let mut parsed = BTreeMap::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
        source.add(Vec::new(), root, &mut parsed);
        for (module, file) in &parsed {
            let mut imports = Imports { module, files: &source.files, found: BTreeSet::new() };
            imports.visit_file(file);
            imports.found.remove(module);
            let found = imports.found;
            source.imports.insert(module.clone(), found);
        }
        source
    }

    fn add(&mut self, module: Module, path: PathBuf, parsed: &mut BTreeMap<Module, syn::File>) {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let directory = path.parent().expect("a file is in a directory").to_owned();
        for item in &file.items {
            if let Item::Mod(child @ ItemMod { content: None, .. }) = item
                && !is_for_tests(&child.attrs)
            {
                let name = child.ident.to_string();
                let named = path_attribute(&child.attrs).map(|named| directory.join(named));
                let beside = directory.join(format!("{name}.rs"));
                let inside = directory.join(&name).join("mod.rs");
                let place = named.unwrap_or(if beside.exists() { beside } else { inside });
                let child: Module = module.iter().cloned().chain([name]).collect();
                // One of a pair of platform twins stands for both.
                if !self.files.contains_key(&child) {
                    self.add(child, place, parsed);
                }
            }
        }
        self.files.insert(module.clone(), path);
        parsed.insert(module, file);
    }

    fn name(&self, module: &Module) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        self.files[module].strip_prefix(root).expect("a file of this project").display().to_string()
    }

    /// Returns the files that can be reached from `start` by one import or more.
    fn reachable(&self, start: &Module) -> BTreeSet<Module> {
        let mut found = BTreeSet::new();
        let mut next: Vec<&Module> = self.imports[start].iter().collect();
        while let Some(module) = next.pop() {
            if found.insert(module.clone()) {
                next.extend(&self.imports[module]);
            }
        }
        found
    }
}

/// Collects the modules that one file names, in `use` items and in paths.
struct Imports<'a> {
    module: &'a Module,
    files: &'a BTreeMap<Module, PathBuf>,
    found: BTreeSet<Module>,
}

impl Imports<'_> {
    fn take(&mut self, path: &[String]) {
        let (mut module, rest) = match path.first().map(String::as_str) {
            Some("crate") => (Vec::new(), &path[1..]),
            Some("self") => (self.module.clone(), &path[1..]),
            Some("super") => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                (self.module[..self.module.len().saturating_sub(ups)].to_vec(), &path[ups..])
            }
            _ => (self.module.clone(), path),
        };
        let start = module.clone();
        for part in rest {
            module.push(part.clone());
            if !self.files.contains_key(&module) {
                module.pop();
                break;
            }
        }
        let is_ours = matches!(path.first().map(String::as_str), Some("crate" | "self" | "super"));
        if is_ours || module != start {
            self.found.insert(module);
        }
    }

    fn take_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: String| before.iter().cloned().chain([name]).collect::<Vec<_>>();
        match tree {
            UseTree::Path(path) => self.take_tree(&with(path.ident.to_string()), &path.tree),
            UseTree::Name(name) => self.take(&with(name.ident.to_string())),
            UseTree::Rename(rename) => self.take(&with(rename.ident.to_string())),
            UseTree::Glob(_) => self.take(before),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.take_tree(before, tree)),
        }
    }
}

impl<'ast> Visit<'ast> for Imports<'_> {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.take_tree(&[], &item.tree);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_for_tests(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 && path.leading_colon.is_none() {
            let parts: Vec<String> = path.segments.iter().map(|part| part.ident.to_string()).collect();
            self.take(&parts);
        }
        syn::visit::visit_path(self, path);
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
    })
}

/// Returns the file that `#[path = "…"]` names.
fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("path")).find_map(|attribute| {
        let value = &attribute.meta.require_name_value().ok()?.value;
        match value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(name), .. }) => Some(name.value()),
            _ => None,
        }
    })
}

/// Returns the number of the layer that a module is in, or `None` for the crate's root, which may use all of them.
fn layer(module: &Module) -> Option<usize> {
    let room = module.first()?;
    let found = LAYERS.iter().position(|rooms| rooms.contains(&room.as_str()));
    Some(found.unwrap_or_else(|| panic!("src/{room} has no place in LAYERS")))
}

#[test]
fn rooms_import_only_from_rooms_below_them() {
    let source = Source::read();
    let mut upward = Vec::new();
    for (module, imports) in &source.imports {
        for import in imports.iter().filter(|import| import.first() != module.first()) {
            // Nothing but the root may use the root.
            let is_downward = match (layer(module), layer(import)) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(from), Some(to)) => to < from,
            };
            if !is_downward {
                upward.push(format!("{} imports {}", source.name(module), source.name(import)));
            }
        }
    }
    assert!(source.files.len() > 100, "only {} files were found", source.files.len());
    assert_eq!(upward, Vec::<String>::new());
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let source = Source::read();
    let in_circle: Vec<String> = source
        .imports
        .keys()
        .filter(|module| source.reachable(module).contains(*module))
        .map(|module| source.name(module))
        .collect();
    assert_eq!(in_circle, Vec::<String>::new());
}

#[test]
fn documentation_shows_the_rooms_in_the_same_order() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let text = fs::read_to_string(page).expect("docs/architecture.md can be read");
    let rows: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let rooms: Vec<&str> = rows.into_iter().map(|room| room.trim_end_matches('/')).collect();
    let expected: Vec<&str> = LAYERS.iter().copied().flatten().copied().collect();
    let shown: Vec<&str> = rooms.into_iter().filter(|room| expected.contains(room)).collect();
    assert_eq!(shown, expected);
}

#[test]
fn no_room_but_the_backends_names_a_kind_of_backend() {
    let source = Source::read();
    let mut named = Vec::new();
    for (module, file) in source.files.iter().filter(|(module, _)| module.first().is_none_or(|room| room != "backend"))
    {
        let text = fs::read_to_string(file).expect("a file of this project");
        let names = text.lines().filter(|line| {
            line.match_indices("Kind::").any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric()))
        });
        named.extend(names.map(|line| format!("{}: {}", source.name(module), line.trim())));
    }
    assert_eq!(named, Vec::<String>::new());
}

/// What others wrote is cleaned in one place, `base/ui.rs`, so nothing else may print. (`base/process/terminal.rs` only
/// switches modes of the terminal.)
#[test]
fn only_one_file_writes_to_the_terminal() {
    let source = Source::read();
    let mut writers = Vec::new();
    for (module, file) in &source.files {
        let text = fs::read_to_string(file).expect("a file of this project");
        let mut streams = ["io::stdout()", "io::stderr()"].into_iter().flat_map(|stream| text.split(stream).skip(1));
        let prints =
            ["print!(", "println!(", "eprint!(", "eprintln!(", "dbg!("].iter().any(|print| text.contains(print));
        if prints || streams.any(|after| !after.starts_with(".is_terminal()")) {
            writers.push(source.name(module));
        }
    }
    writers.sort();
    assert_eq!(writers, ["src/base/process/terminal.rs", "src/base/ui.rs"]);
}

/// Files that differ between the systems by `cfg`: the pairs of twins, and constants.
const DIFFER: &[&str] = &[
    "src/backend/install.rs",
    "src/base/commands.rs",
    "src/base/port.rs",
    "src/base/process/mod.rs",
    "src/base/programs.rs",
    "src/base/signals.rs",
    "src/base/watch/mod.rs",
    "src/base/wsl.rs",
    "src/claude/settings/managed.rs",
    "src/memory/machine.rs",
    "src/memory/mod.rs",
];

/// Files outside of `base` and `memory` that call the system as only Unix can be called.
const CALL_UNIX: &[&str] = &[
    "src/backend/command/stop.rs",
    "src/backend/diagnosis.rs",
    "src/backend/install.rs",
    "src/backend/ollama/service.rs",
    "src/claude/arguments/walk.rs",
    "src/claude/find.rs",
    "src/config/project.rs",
    "src/config/trust.rs",
    "src/keeper/guard.rs",
    "src/keeper/log.rs",
    "src/keeper/panic.rs",
    "src/keeper/spawn.rs",
    "src/local/doctor/machine.rs",
    "src/local/init.rs",
    "src/local/own_line.rs",
    "src/session/child.rs",
    "src/session/watch.rs",
    "src/warm/bound.rs",
    "src/warm/directory.rs",
    "src/warm/pending.rs",
    "src/warm/snapshot.rs",
];

/// What differs between systems stands in twins, and what is Unix's own in few files, so that another system needs only
/// other versions of them. `docs/platforms.md` lists the differences.
#[test]
fn only_known_files_depend_on_the_system() {
    let source = Source::read();
    let unix = ["libc::", "rustix::", "os::unix", "net::unix", "net::{Unix", "signal::unix", "\"/proc"];
    let (mut differ, mut call) = (Vec::new(), Vec::new());
    for (module, file) in &source.files {
        let text = fs::read_to_string(file).expect("a file of this project");
        // Tests need not run everywhere. `Signal` is only a number.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default().replace("rustix::process::Signal", "");
        let has = |mark: &str| code.lines().any(|line| line.contains(mark) && !line.trim_start().starts_with("//"));
        if has("target_os") {
            differ.push(source.name(module));
        }
        let is_below = module.first().is_some_and(|room| ["base", "memory"].contains(&room.as_str()));
        if !is_below && unix.iter().any(|mark| has(mark)) {
            call.push(source.name(module));
        }
    }
    differ.sort();
    call.sort();
    assert_eq!(differ, DIFFER);
    assert_eq!(call, CALL_UNIX);
}

/// Each system has its own, so they are in `base/commands.rs` for both. (The twins run none, and are for one system.)
#[test]
fn only_one_file_names_commands_of_one_system() {
    const COMMANDS: &[&str] = &[
        "ss -",
        "free -",
        "ldd ",
        "strace ",
        "systemctl",
        "journalctl",
        "/run/user",
        "fs.file-max",
        "lsof ",
        "otool ",
        "memory_pressure",
        "vm_stat",
        "kern.maxfiles",
        "launchctl ",
        "dtruss",
    ];
    let source = Source::read();
    let mut found = Vec::new();
    for (module, file) in &source.files {
        let text = fs::read_to_string(file).expect("a file of this project");
        let code = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
        let named = code.filter(|line| {
            COMMANDS.iter().any(|command| {
                line.match_indices(command)
                    .any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric()))
            })
        });
        if named.count() > 0 {
            found.push(source.name(module));
        }
    }
    found.sort();
    assert_eq!(found, ["src/base/commands.rs", "src/base/process/linux.rs"]);
}
