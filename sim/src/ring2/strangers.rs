//! Those who mean no good.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use turmoil::net::TcpStream;

use super::plan::Manner;
use super::{PORT, name_of};

/// What a deaf one asks: more than waits for a socket in answers. All of it is answered, even when nobody is there any more.
pub const QUESTIONS: u64 = 1_200;

/// Who comes where; grows only, and is emptied in the end.
pub type Guests = watch::Receiver<Option<Vec<(usize, Manner)>>>;

/// Sends strangers until there are to be no more: those who log in, or the others.
pub async fn send(mut guests: Guests, who_log_in: bool) -> turmoil::Result {
    let mut sent = 0;
    let mut all = JoinSet::new();
    loop {
        let come = guests.borrow_and_update().clone();
        let Some(come) = come else { return Ok(()) };
        for (host, manner) in come.iter().skip(sent).copied() {
            if (manner == Manner::Deaf) == who_log_in {
                all.spawn(visit(host, manner));
            }
        }
        sent = come.len();
        guests.changed().await?;
    }
}

async fn visit(host: usize, manner: Manner) -> std::io::Result<()> {
    let mut stream = TcpStream::connect((name_of(super::plan::Place::Server(host)).as_str(), PORT)).await?;
    match manner {
        Manner::Knocking => return Ok(()),
        Manner::Silent => {}
        Manner::Dripping => loop {
            stream.write_all(b"x").await?;
            tokio::time::sleep(Duration::from_millis(300)).await;
        },
        Manner::Guessing => {
            for _ in 0..40 {
                // "\0sync\0wrong"
                stream
                    .write_all(b"AUTHENTICATE PLAIN AHN5bmMAd3Jvbmc=\r\n")
                    .await?;
                let mut some = [0; 512];
                if stream.read(&mut some).await? == 0 {
                    return Ok(());
                }
            }
        }
        Manner::Garbage => {
            stream
                .write_all(&[0, 255, b'(', b'%', b'{', 10, 13, 10, b'"', 0, 10])
                .await?;
        }
        Manner::Deaf => {
            // "\0sync\0secret"
            stream
                .write_all(b"AUTHENTICATE PLAIN AHN5bmMAc2VjcmV0\r\n")
                .await?;
            for _ in 0..QUESTIONS / 20 {
                stream.write_all(&b"GET USER hot\r\n".repeat(20)).await?;
            }
            std::future::pending::<()>().await;
        }
    }
    let mut rest = [0; 512];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
