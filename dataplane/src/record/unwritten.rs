//! Lines that wait to be written. Each is written whole into one file: a write that was cut goes on where it stopped, and
//! begins its line again when the file has become another.

use std::io;

use super::output::Output;

/// See the module.
#[derive(Debug, Default)]
pub struct Unwritten {
    /// Whole lines.
    lines: Vec<u8>,
    /// Bytes of the first line that are in the file already.
    sent: usize,
}

impl Unwritten {
    /// Where lines are appended.
    pub fn lines(&mut self) -> &mut Vec<u8> {
        &mut self.lines
    }

    /// What is still to be written.
    pub fn bytes(&self) -> &[u8] {
        self.lines.get(self.sent..).unwrap_or_default()
    }

    /// Whether what is written next begins a line.
    pub fn begins_a_line(&self) -> bool {
        self.sent == 0
    }

    /// Writes the first line whole, because its beginning is in another file.
    pub fn restart_line(&mut self) {
        self.sent = 0;
    }

    /// Writes all it can and keeps the rest, so that no line is written twice or torn by a second try.
    pub fn write_to(&mut self, output: &mut dyn Output) -> io::Result<()> {
        let result = self.write_some(output);
        let written = self.lines.get(..self.sent).unwrap_or_default();
        let whole = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.lines.drain(..whole);
        self.sent -= whole;
        result
    }

    fn write_some(&mut self, output: &mut dyn Output) -> io::Result<()> {
        while !self.bytes().is_empty() {
            match output.write(self.bytes()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
