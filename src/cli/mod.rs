//! One file per verb: arguments in, calls into the library, words out.
//!
//! Must never decide anything: it parses, asks the library, prints.

mod artifacts;
mod blueprint;
mod bmc;
mod bmc_list;
mod boot;
mod capture;
mod check;
mod completions;
mod config;
mod console;
mod diff;
mod doctor;
mod down;
mod events;
mod exec;
mod explain;
mod explain_pcap;
mod fault;
mod foreground;
mod generic;
mod group;
mod guide;
mod ignition;
mod image;
mod import;
mod init;
mod kubeconfig;
mod lab;
mod link;
mod lint;
mod locations;
mod logs;
mod man;
mod matchbox;
mod media;
mod output;
mod plan;
mod power;
mod prepare;
mod profile;
mod progress;
mod record;
mod report;
mod roles;
mod rpc;
mod runs;
mod runtime;
mod schema;
mod screen;
mod screenshot;
mod ssh;
mod status;
mod summary;
mod table;
mod test;
mod tls;
mod trace;
mod up;
mod wait;

use clap::{CommandFactory, Parser, Subcommand};

use locations::LocationArgs;
use output::Stop;

use crate::report::exit;
use crate::run::Locations;

/// Shown after the long help and in the manual.
const MORE: &str = "\
Exit codes:
  0    every expectation was met
  1    an expectation was missed, or a machine died
  2    the lab file or the command line is wrong
  3    this host cannot run it
  4    cleanup incomplete
  70   internal error
  130  interrupted
If several apply, the first of 70, 2, 3, 4, 1 wins.

Environment:
  DRYRACK_STATE    where runs are kept (default: the XDG state folder)
  DRYRACK_CACHE    where images are kept (default: the XDG cache folder)
  DRYRACK_RUNTIME  where locks and sockets are (default: the XDG runtime folder)
  DRYRACK_LOG      log level for developers, such as `debug` or `dryrack::serve=trace`
  NO_COLOR         no colour, also on a terminal";

/// Rehearses bare metal: builds a rack of netbooting machines from one TOML file and tests whether it becomes ready.
#[derive(Debug, Parser)]
#[command(
    name = "dryrack",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_long_help = MORE
)]
struct Cli {
    #[command(flatten)]
    locations: LocationArgs,
    #[command(subcommand)]
    verb: Verb,
}

/// The commands, in the order in which a new user needs them.
#[derive(Debug, Subcommand)]
enum Verb {
    Init(init::Args),
    Import(import::Args),
    Lint(lint::Args),
    Check(check::Args),
    Plan(plan::Args),
    Up(up::Args),
    Down(down::Args),
    Status(status::Args),
    Wait(wait::Args),
    Test(test::Args),
    Console(console::Args),
    Power(power::Args),
    Boot(boot::Args),
    BootNext(boot::NextArgs),
    Bmc(bmc::Args),
    BmcList(bmc_list::Args),
    Media(media::Args),
    Link(link::Args),
    Fault(fault::Args),
    Screen(screen::Args),
    Screenshot(screenshot::Args),
    Capture(capture::Args),
    Kubeconfig(kubeconfig::Args),
    Exec(exec::Args),
    Ssh(ssh::Args),
    SshConfig(ssh::ConfigArgs),
    Logs(logs::Args),
    Trace(trace::Args),
    Diff(diff::Args),
    ExplainPcap(explain_pcap::Args),
    Report(report::Args),
    Runs(runs::Args),
    Matchbox(matchbox::Args),
    Doctor(doctor::Args),
    Image(image::Args),
    Tls(tls::Args),
    Profile(profile::Args),
    Group(group::Args),
    Ignition(ignition::Args),
    Generic(generic::Args),
    Schema(schema::Args),
    Guide(guide::Args),
    Explain(explain::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Returns the definition of the command line.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program and returns its exit code.
pub fn main() -> u8 {
    // The hook has said where and why already.
    std::panic::catch_unwind(play).unwrap_or_else(|_| {
        output::error(
            "internal error",
            Some("this is a bug in dryrack: please report it with the message above"),
        );
        exit::BUG
    })
}

fn play() -> u8 {
    if let Some(code) = roles::play() {
        return code;
    }
    if let Some(code) = completions::answer() {
        return code;
    }
    output::log_to_stderr();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    // It is started in places without a home.
    if let Verb::Matchbox(args) = &cli.verb {
        return matchbox::run(args);
    }
    match cli.locations.locations().and_then(|locations| run(cli.verb, &locations)) {
        Ok(code) => code,
        Err(stop) => {
            output::stop(&stop);
            stop.code
        }
    }
}

fn run(verb: Verb, locations: &Locations) -> Result<u8, Stop> {
    match verb {
        Verb::Init(args) => init::run(&args),
        Verb::Import(args) => import::run(&args, locations),
        Verb::Lint(args) => lint::run(&args),
        Verb::Check(args) => check::run(&args, locations),
        Verb::Plan(args) => plan::run(&args, locations),
        Verb::Up(args) => up::run(args, locations),
        Verb::Down(args) => down::run(&args, locations),
        Verb::Status(args) => status::run(&args, locations),
        Verb::Wait(args) => wait::run(&args, locations),
        Verb::Test(args) => test::run(args, locations),
        Verb::Console(args) => console::run(&args, locations),
        Verb::Power(args) => power::run(&args, locations),
        Verb::Bmc(args) => bmc::run(&args),
        Verb::BmcList(args) => bmc_list::run(&args, locations),
        Verb::Boot(args) => boot::run(&args, locations),
        Verb::BootNext(args) => boot::run_next(&args, locations),
        Verb::Media(args) => media::run(&args, locations),
        Verb::Link(args) => link::run(&args, locations),
        Verb::Fault(args) => fault::run(&args, locations),
        Verb::Screen(args) => screen::run(&args, locations),
        Verb::Screenshot(args) => screenshot::run(&args, locations),
        Verb::Capture(args) => capture::run(&args, locations),
        Verb::Kubeconfig(args) => kubeconfig::run(&args, locations),
        Verb::Exec(args) => exec::run(args, locations),
        Verb::Ssh(args) => ssh::run(&args, locations),
        Verb::SshConfig(args) => ssh::config(&args, locations),
        Verb::Logs(args) => logs::run(&args, locations),
        Verb::Trace(args) => trace::run(&args, locations),
        Verb::ExplainPcap(args) => explain_pcap::run(&args),
        Verb::Diff(args) => diff::run(&args, locations),
        Verb::Report(args) => report::run(&args, locations),
        Verb::Runs(args) => runs::run(&args, locations),
        Verb::Matchbox(args) => Ok(matchbox::run(&args)),
        Verb::Doctor(args) => doctor::run(&args, locations),
        Verb::Image(args) => image::run(&args, locations),
        Verb::Tls(args) => tls::run(&args, locations),
        Verb::Profile(args) => profile::run(&args, locations),
        Verb::Group(args) => group::run(&args, locations),
        Verb::Ignition(args) => ignition::run(&args, locations),
        Verb::Generic(args) => generic::run(&args, locations),
        Verb::Schema(args) => schema::run(&args),
        Verb::Guide(args) => guide::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Completions(args) => completions::run(&args),
        Verb::Man(args) => man::run(&args, command()),
    }
}
