//! A session of IPMI over LAN with one BMC.
//!
//! The protocol is [`crate::bmc::ipmi::client`]; this has the socket and the clock.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::UdpSocket;

use crate::bmc::ipmi::client::chassis::Ask;
use crate::bmc::ipmi::client::{Client, Error, Event, Progress, Settings, WhenTaken};
use crate::bmc::ipmi::completion::Completion;
use crate::bmc::ipmi::sol::Refusal;
use crate::hint::Hint;
use crate::system;

/// The longest datagram.
const DATAGRAM: usize = 2048;
/// How long a client without anything to do sleeps.
const IDLE: Duration = Duration::from_secs(3600);

/// Why a BMC did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum IpmiError {
    /// The network did not let us.
    #[error("cannot send to the BMC at {bmc}")]
    Socket {
        /// The BMC.
        bmc: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The session failed.
    #[error("cannot use the BMC at {bmc}: {error}")]
    Session {
        /// The BMC.
        bmc: SocketAddr,
        /// Why.
        error: Error,
    },
    /// The BMC refused a command.
    #[error("the BMC at {bmc} refused: {completion}")]
    Refused {
        /// The BMC.
        bmc: SocketAddr,
        /// Why.
        completion: Completion,
    },
    /// The BMC refused Serial over LAN.
    #[error("the BMC at {bmc} refused Serial over LAN: {why}")]
    Console {
        /// The BMC.
        bmc: SocketAddr,
        /// Why.
        why: Refusal,
    },
    /// The answer is not one to the command.
    #[error("the answer of the BMC at {bmc} is too short")]
    Short {
        /// The BMC.
        bmc: SocketAddr,
    },
}

impl Hint for IpmiError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Session { error, .. } => Some(error.hint().into()),
            Self::Console { why: Refusal::Active, .. } => Some("`--steal` takes it over".into()),
            Self::Console { why: Refusal::Disabled, .. } => {
                Some("enable it for the user and in the BMC; some have none while the machine is off".into())
            }
            Self::Refused { completion: Completion::WrongState, .. } => {
                Some("power the machine on first".into())
            }
            Self::Socket { .. } | Self::Refused { .. } | Self::Console { .. } | Self::Short { .. } => None,
        }
    }
}

/// A session with a BMC.
#[derive(Debug)]
pub struct IpmiSession {
    bmc: SocketAddr,
    socket: UdpSocket,
    client: Client,
    began: Instant,
    /// What happened and was not looked at.
    events: VecDeque<Event>,
}

impl IpmiSession {
    /// Logs in.
    #[expect(clippy::disallowed_methods, reason = "a session outside a run has a clock of its own")]
    pub async fn open(bmc: SocketAddr, settings: Settings) -> Result<Self, IpmiError> {
        let failed = |source| IpmiError::Socket { bmc, source };
        let any = if bmc.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await.map_err(failed)?;
        socket.connect(bmc).await.map_err(failed)?;
        let client = Client::new(settings);
        let mut session = Self { bmc, socket, client, began: Instant::now(), events: VecDeque::new() };
        let progress = session.client.start(session.now(), &mut system::random);
        session.take(progress).await?;
        loop {
            if let Event::Connected { .. } = session.next().await? {
                return Ok(session);
            }
        }
    }

    /// Asks a command; returns the data of its answer.
    pub async fn ask(&mut self, (command, data): Ask) -> Result<Vec<u8>, IpmiError> {
        let asked = self.client.command(command, &data);
        loop {
            match self.next().await? {
                Event::Answered { ticket, answer } if ticket == asked => {
                    return match answer.completion {
                        Completion::Ok => Ok(answer.data),
                        completion => Err(IpmiError::Refused { bmc: self.bmc, completion }),
                    };
                }
                _ => {}
            }
        }
    }

    /// Asks a command whose answer has a form; an answer without it is an error.
    pub async fn ask_for<T>(
        &mut self,
        ask: Ask,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, IpmiError> {
        let data = self.ask(ask).await?;
        parse(&data).ok_or(IpmiError::Short { bmc: self.bmc })
    }

    /// Begins Serial over LAN.
    pub async fn activate(&mut self, when_taken: WhenTaken) -> Result<(), IpmiError> {
        self.client.activate_sol(when_taken);
        loop {
            match self.next().await? {
                Event::SolStarted => return Ok(()),
                Event::SolRefused(completion) => {
                    return Err(IpmiError::Console { bmc: self.bmc, why: Refusal::of(completion) });
                }
                _ => {}
            }
        }
    }

    /// Carries Serial over LAN over a stream, until that is closed or another session takes the console over.
    pub async fn carry(&mut self, stream: DuplexStream) -> Result<(), IpmiError> {
        let (mut typed, mut shown) = tokio::io::split(stream);
        let mut keys = vec![0; 1024];
        loop {
            while let Some(event) = self.events.pop_front() {
                match event {
                    // A terminal that is gone is noticed by what is typed there.
                    Event::SolOutput(output) => drop(shown.write_all(&output).await),
                    Event::SolEnded => return Ok(()),
                    Event::Failed(error) => return Err(self.session(error)),
                    _ => {}
                }
            }
            let due = self.settle().await?;
            if !self.events.is_empty() {
                continue;
            }
            // Typing is not read faster than the BMC takes it.
            let may_type = self.client.has_typed_all();
            let mut datagram = [0; DATAGRAM];
            let received = tokio::time::timeout(due, self.socket.recv(&mut datagram));
            let next = tokio::select! {
                received = received => Err(received),
                count = typed.read(&mut keys), if may_type => Ok(count),
            };
            match next {
                Ok(Ok(count @ 1..)) => {
                    let now = self.now();
                    self.client.type_in(now, &keys[..count]);
                }
                Ok(Ok(0) | Err(_)) => return Ok(()),
                Err(Ok(received)) => self.receive(received, &datagram).await?,
                Err(Err(_)) => {}
            }
        }
    }

    /// Ends the session.
    pub async fn close(mut self) -> Result<(), IpmiError> {
        self.client.deactivate_sol();
        self.client.close();
        loop {
            if let Event::Closed = self.next().await? {
                return Ok(());
            }
        }
    }

    fn session(&self, error: Error) -> IpmiError {
        IpmiError::Session { bmc: self.bmc, error }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits for the next event; a failure of the session is an error.
    async fn next(&mut self) -> Result<Event, IpmiError> {
        loop {
            match self.events.pop_front() {
                Some(Event::Failed(error)) => return Err(self.session(error)),
                Some(event) => return Ok(event),
                None => {}
            }
            let due = self.settle().await?;
            if !self.events.is_empty() {
                continue;
            }
            let mut datagram = [0; DATAGRAM];
            let received = tokio::time::timeout(due, self.socket.recv(&mut datagram)).await;
            if let Ok(received) = received {
                self.receive(received, &datagram).await?;
            }
        }
    }

    async fn receive(&mut self, received: io::Result<usize>, datagram: &[u8]) -> Result<(), IpmiError> {
        match received {
            Ok(length) => {
                let now = self.now();
                let progress = self.client.receive(now, &datagram[..length], &mut system::random);
                self.take(progress).await
            }
            // Nobody listens there; the client asks again until its patience ends.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(source) => Err(IpmiError::Socket { bmc: self.bmc, source }),
        }
    }

    /// Sends what is due; returns how long there is nothing to do.
    async fn settle(&mut self) -> Result<Duration, IpmiError> {
        let now = self.now();
        let (progress, next) = self.client.tick(now, &mut system::random);
        self.take(progress).await?;
        Ok(next.map_or(IDLE, |next| next.saturating_sub(now)))
    }

    async fn take(&mut self, progress: Progress) -> Result<(), IpmiError> {
        for datagram in progress.send {
            match self.socket.send(&datagram).await {
                Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => {
                    return Err(IpmiError::Socket { bmc: self.bmc, source: error });
                }
                _ => {}
            }
        }
        self.events.extend(progress.events);
        Ok(())
    }
}
