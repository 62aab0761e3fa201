//! The two processes of a measurement, from the side of the one that takes the time.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{self, Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::board::Board;
use crate::cpu;
use crate::ends::Side;
use crate::error::{BenchError, Result, io};
use crate::messages::{Job, Load, Order, Report};
use crate::transport::{Place, Plan};
use crate::transports::Contender;
use crate::waiting::Partner;

/// How long the second process may take to end by itself.
const LEAVE_TO_END: Duration = Duration::from_secs(2);

/// Channels get numbers that none had before.
static CHANNELS: AtomicU64 = AtomicU64::new(1);

/// The second process, and what is shared with it.
pub(crate) struct Pair {
    pub(crate) process: Child,
    pub(crate) board: Board,
    /// `None` once there will be no more.
    orders: Option<ChildStdin>,
    reports: BufReader<ChildStdout>,
    place: Place,
    cpu: usize,
    sides: BTreeMap<Contender, Box<dyn Side>>,
}

/// A channel that is open in both processes.
pub(crate) struct Channel {
    pub(crate) side: Box<dyn Side>,
    pub(crate) plan: Plan,
    contender: Contender,
}

impl Pair {
    /// Starts the second process, and pins both. To be called on the main thread: the kernel takes the
    /// end of the calling thread for the end of the parent.
    pub(crate) fn start(place: &Place, cpus: [usize; 2]) -> Result<Self> {
        cpu::unpin()?;
        let board = Board::create()?;
        // The file that runs now, even if another was built over it.
        let mut command = Command::new("/proc/self/exe");
        command.arg("second-process").arg(format!("--parent={}", process::id()));
        command.arg(format!("--cpu={}", cpus[1]));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(io("start the second process"))?;
        let no_pipes = || BenchError::ChildGone("no pipes".to_owned());
        let orders = Some(process.stdin.take().ok_or_else(no_pipes)?);
        let reports = BufReader::new(process.stdout.take().ok_or_else(no_pipes)?);
        cpu::pin(cpus[0])?;
        let (place, sides) = (place.clone(), BTreeMap::new());
        let mut pair = Self { process, board, orders, reports, place, cpu: cpus[0], sides };
        let (board, place) = (pair.board.address(), pair.place.clone());
        pair.order(&Order::Meet { board, place })?;
        pair.report_done()?;
        Ok(pair)
    }

    /// Gives an order. The report is to be fetched before the next.
    pub(crate) fn order(&mut self, order: &Order) -> Result<()> {
        let mut line =
            serde_json::to_string(order).map_err(|e| BenchError::Protocol(e.to_string()))?;
        line.push('\n');
        let orders = self.orders.as_mut().ok_or_else(|| BenchError::ChildGone("ended".into()))?;
        orders.write_all(line.as_bytes()).map_err(io("give an order"))
    }

    /// Waits for the report on the last order.
    pub(crate) fn report(&mut self) -> Result<Report> {
        let mut line = String::new();
        if self.reports.read_line(&mut line).map_err(io("read a report"))? == 0 {
            let status = self.process.wait().map_err(io("wait for the second process"))?;
            return Err(BenchError::ChildGone(status.to_string()));
        }
        let report: std::result::Result<Report, String> =
            serde_json::from_str(&line).map_err(|_| BenchError::Protocol(line))?;
        report.map_err(BenchError::InChild)
    }

    /// The same, where there is nothing to say.
    pub(crate) fn report_done(&mut self) -> Result<()> {
        match self.report()? {
            Report::Done => Ok(()),
            other => Err(BenchError::Protocol(format!("{other:?} where nothing was to be said"))),
        }
    }

    /// Has the second process do its part over a channel.
    pub(crate) fn order_work(&mut self, channel: &Channel, job: Job, load: Load) -> Result<()> {
        self.order(&Order::Work { contender: channel.contender, job, load })
    }

    /// If the second process ended: what it said before, which is more than that it did.
    pub(crate) fn why(&mut self, error: BenchError) -> BenchError {
        match error {
            BenchError::ChildGone(_) => self.report().err().unwrap_or(error),
            error => error,
        }
    }

    /// Whom waits wait for.
    pub(crate) fn partner(&mut self) -> Partner<'_> {
        Partner::Child(&mut self.process)
    }

    /// A name that no channel had before.
    pub(crate) fn new_name(&self) -> String {
        let number = CHANNELS.fetch_add(1, Ordering::Relaxed);
        format!("{}{number}", self.place.prefix)
    }

    /// Starts a contender in both processes.
    pub(crate) fn meet(&mut self, contender: Contender) -> Result<()> {
        if self.sides.contains_key(&contender) {
            return Ok(());
        }
        // Threads of a transport are not to be kept where we measure.
        cpu::unpin()?;
        let side = contender.start(&self.place);
        cpu::pin(self.cpu)?;
        self.sides.insert(contender, side?);
        self.order(&Order::Start { contender })?;
        self.report_done()
    }

    /// Makes a channel from here to there, and with `both_ways` one back.
    pub(crate) fn open(
        &mut self,
        contender: Contender,
        plan: Plan,
        both_ways: bool,
    ) -> Result<Channel> {
        let side = self.sides.remove(&contender);
        let mut side = side.ok_or_else(|| BenchError::Protocol(format!("{contender:?}, twice")))?;
        let address = side.offer(&plan)?;
        self.order(&Order::Join { contender, plan: plan.clone(), address, both_ways })?;
        let Report::Joined { answers, address } = self.report()? else {
            return Err(BenchError::Protocol("another report than is due to Join".to_owned()));
        };
        let back = Plan { name: format!("{}.back", plan.name), ..plan.clone() };
        let ours = match address {
            Some(address) => side.join(&back, &address)?,
            None => Vec::new(),
        };
        side.settle(&answers, &mut self.partner())?;
        self.order(&Order::Settle { contender, answers: ours })?;
        self.report_done()?;
        Ok(Channel { side, plan, contender })
    }

    /// Lets go of it in both processes.
    pub(crate) fn close(&mut self, mut channel: Channel) -> Result<()> {
        channel.side.close();
        if self.orders.is_some() {
            self.order(&Order::Close { contender: channel.contender })?;
            self.report_done()?;
        }
        self.sides.insert(channel.contender, channel.side);
        Ok(())
    }

    /// Kills the second process, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.orders = None;
        self.process.kill().map_err(io("kill the second process"))?;
        self.process.wait().map_err(io("wait for the second process"))?;
        Ok(())
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.sides.clear();
        self.orders = None;
        let started = Instant::now();
        while started.elapsed() < LEAVE_TO_END {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        // Both fail only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
