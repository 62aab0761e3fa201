//! The other process of the measurements: does what it is told, one order a line, and reports.

use std::collections::BTreeMap;
use std::io::{Write as _, stdin, stdout};

use clap::Args;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::board::Board;
use crate::cpu;
use crate::ends::Side;
use crate::error::{BenchError, Result, io};
use crate::mappings::shared_mappings;
use crate::messages::{Order, Report};
use crate::transport::{Place, Plan};
use crate::transports::Contender;
use crate::waiting::Partner;

/// How it is started.
#[derive(Debug, Args)]
pub(crate) struct SecondProcess {
    /// Process id of who started it
    #[arg(long)]
    parent: i32,
    /// Processor to stay on
    #[arg(long)]
    cpu: usize,
}

struct State {
    board: Board,
    place: Place,
    parent: Pid,
    cpu: usize,
    sides: BTreeMap<Contender, Box<dyn Side>>,
}

/// Carries out orders until there are no more. After a failure it ends.
pub(crate) fn run(args: &SecondProcess) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(io("be killed with the parent"))?;
    let parent = Pid::from_raw(args.parent).filter(|parent| getppid() == Some(*parent));
    let no_parent = || BenchError::Protocol("this command is for the program itself".to_owned());
    let parent = parent.ok_or_else(no_parent)?;
    cpu::allowed()?;
    cpu::pin(args.cpu)?;
    let mut state = None;
    for line in stdin().lines() {
        let line = line.map_err(io("read an order"))?;
        let order = serde_json::from_str(&line).map_err(|_| BenchError::Protocol(line))?;
        let result = match (order, &mut state) {
            (Order::Meet { board, place }, _) => Board::open(&board).map(|board| {
                let sides = BTreeMap::new();
                state = Some(State { board, place, parent, cpu: args.cpu, sides });
                Report::Done
            }),
            (order, Some(state)) => state.carry_out(order),
            (order, None) => Err(BenchError::Protocol(format!("{order:?} at first"))),
        };
        let has_failed = result.is_err();
        let mut answer = serde_json::to_string(&result.map_err(|error| error.to_string()))
            .map_err(|error| BenchError::Protocol(error.to_string()))?;
        answer.push('\n');
        let mut out = stdout().lock();
        out.write_all(answer.as_bytes()).and_then(|()| out.flush()).map_err(io("report"))?;
        if has_failed {
            break;
        }
    }
    Ok(())
}

impl State {
    fn carry_out(&mut self, order: Order) -> Result<Report> {
        match order {
            Order::Meet { .. } => return Err(BenchError::Protocol("a second meeting".to_owned())),
            Order::Start { contender } => {
                cpu::unpin()?;
                let side = contender.start(&self.place);
                cpu::pin(self.cpu)?;
                self.sides.insert(contender, side?);
            }
            Order::Join { contender, plan, address, both_ways } => {
                let side = self.side(contender)?;
                let answers = side.join(&plan, &address)?;
                let back = Plan { name: format!("{}.back", plan.name), ..plan };
                let address = both_ways.then(|| side.offer(&back)).transpose()?;
                return Ok(Report::Joined { answers, address });
            }
            Order::Settle { contender, answers } => {
                let mut partner = Partner::Parent(self.parent);
                self.side(contender)?.settle(&answers, &mut partner)?;
            }
            Order::Work { contender, job, load } => {
                let mut partner = Partner::Parent(self.parent);
                let side = self.sides.get_mut(&contender).ok_or_else(unknown)?;
                return side.work(job, &load, &self.board, &mut partner);
            }
            Order::ListMappings => return Ok(Report::Mappings(shared_mappings()?)),
            Order::Close { contender } => self.side(contender)?.close(),
        }
        Ok(Report::Done)
    }

    fn side(&mut self, contender: Contender) -> Result<&mut Box<dyn Side>> {
        self.sides.get_mut(&contender).ok_or_else(unknown)
    }
}

fn unknown() -> BenchError {
    BenchError::Protocol("an order for a transport that was not started".to_owned())
}
