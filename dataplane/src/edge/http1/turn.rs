//! A turn: what one exchange moves before the others on its thread have theirs.
//!
//! Tokio ends a task's turn after 128 reads and writes, which here are 4 MiB. That is many times what a connection can hold
//! on its way whose window has not grown yet, and it does not grow while its exchange waits for turns of others that long: of
//! four uploads of 100 MiB on one thread one took ten times as long as the rest.

use std::pin::pin;
use std::task::Context;

/// Pieces, of 64 KiB at most, that pass in one turn: 0.15 ms for whoever is next. Over loopback, streams of 100 MiB to the
/// target cost as much CPU as with tokio's turns; those to the source cost 620 ms/GB instead of 490, where bare Pingora
/// takes 620 and nginx 1100. With 16 pieces they cost 590, and an upload waits for seconds again.
pub const PIECES: u32 = 4;

/// One turn.
#[derive(Debug)]
pub struct Turn {
    steps_left: u32,
}

impl Turn {
    /// A turn of an exchange that takes so many steps for a piece.
    pub fn new(steps_per_piece: u32) -> Self {
        Self { steps_left: PIECES * steps_per_piece }
    }

    /// Takes one step. When it was the last one, the task is woken again after the others, and after the sockets were
    /// looked at; it has to return then.
    pub fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.steps_left = self.steps_left.saturating_sub(1);
        let over = self.steps_left == 0;
        if over {
            // Polled once it has arranged for that.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn an_exchange_that_could_always_go_on_leaves_every_other_turn_to_others() {
        const STEPS: u32 = PIECES * 3;
        let steps = Cell::new(0);
        let endless = poll_fn(|cx| {
            let mut turn = Turn::new(3);
            loop {
                steps.set(steps.get() + 1);
                if turn.is_over(cx) {
                    return Poll::<()>::Pending;
                }
            }
        });
        let mut turns = 0;
        // It never asks to be polled again itself.
        let other = poll_fn(|_| {
            turns += 1;
            assert_eq!(steps.get(), turns * STEPS);
            if turns < 5 { Poll::Pending } else { Poll::Ready(()) }
        });
        tokio::select! {
            biased;
            () = endless => {}
            () = other => {}
        }
    }
}
