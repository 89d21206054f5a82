//! What an error of Pingora's means: which code the caller gets, and whether the endpoint is to blame.

use lgsp_shared::refusal::Code;
use pingora_core::{Error, ErrorSource, ErrorType};

use crate::edge::cause::Cause;
use crate::edge::peer;
use crate::upstream::Failure;

/// The code for an error nobody else has named, and what the error says of the target.
pub fn cause(error: &Error) -> Cause {
    match error.esource() {
        ErrorSource::Upstream => Cause::new(of_target(error), peer::reason(error)),
        ErrorSource::Downstream | ErrorSource::Internal | ErrorSource::Unset => code(error).into(),
    }
}

fn code(error: &Error) -> Code {
    match error.esource() {
        ErrorSource::Upstream => of_target(error),
        ErrorSource::Downstream => of_source(error),
        ErrorSource::Internal | ErrorSource::Unset => Code::Internal,
    }
}

fn of_target(error: &Error) -> Code {
    if peer::is_tls_failure(error) {
        return Code::TargetTls;
    }
    match error.etype() {
        ErrorType::ConnectTimedout
        | ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::BindError
        | ErrorType::SocketError => Code::TargetUnreachable,
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Code::TargetTimeout,
        ErrorType::InvalidHTTPHeader | ErrorType::InvalidH2 | ErrorType::H2Error | ErrorType::H2Downgrade => {
            Code::TargetProtocol
        }
        // Pingora's list of error types is open; what is left are connections that broke.
        _ => Code::TargetClosed,
    }
}

fn of_source(error: &Error) -> Code {
    match error.etype() {
        ErrorType::ReadTimedout => Code::BodyTimeout,
        ErrorType::InvalidHTTPHeader => Code::RequestMalformed,
        _ => Code::BodyIncomplete,
    }
}

/// Whether the source is gone, so that there is nobody to answer.
pub fn source_is_gone(error: &Error) -> bool {
    let broken = matches!(
        error.etype(),
        ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed | ErrorType::H2Error
    );
    error.esource() == &ErrorSource::Downstream && broken
}

/// What the endpoint did, for its health.
pub fn blame(code: Code) -> Option<Failure> {
    match code {
        Code::TargetUnreachable => Some(Failure::Connect),
        Code::TargetTls => Some(Failure::Tls),
        Code::TargetTimeout => Some(Failure::Deadline),
        Code::TargetProtocol => Some(Failure::Protocol),
        Code::TargetClosed => Some(Failure::Broken),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_the_targets_the_sources_or_a_fault_of_this_program() {
        let told = |kind: ErrorType, source: ErrorSource| {
            let error = Error::new(kind);
            let error: Box<Error> = match source {
                ErrorSource::Upstream => error.into_up(),
                ErrorSource::Downstream => error.into_down(),
                ErrorSource::Internal | ErrorSource::Unset => error.into_in(),
            };
            code(&error)
        };
        for (kind, source, expected) in [
            (ErrorType::ConnectTimedout, ErrorSource::Upstream, Code::TargetUnreachable),
            (ErrorType::InvalidCert, ErrorSource::Upstream, Code::TargetTls),
            (ErrorType::ReadTimedout, ErrorSource::Upstream, Code::TargetTimeout),
            (ErrorType::H2Error, ErrorSource::Upstream, Code::TargetProtocol),
            (ErrorType::ReadError, ErrorSource::Upstream, Code::TargetClosed),
            (ErrorType::ReadTimedout, ErrorSource::Downstream, Code::BodyTimeout),
            (ErrorType::InvalidHTTPHeader, ErrorSource::Downstream, Code::RequestMalformed),
            (ErrorType::ReadError, ErrorSource::Downstream, Code::BodyIncomplete),
            (ErrorType::InternalError, ErrorSource::Internal, Code::Internal),
            (ErrorType::H2Error, ErrorSource::Internal, Code::Internal),
        ] {
            assert_eq!(told(kind.clone(), source.clone()), expected, "{kind:?} {source:?}");
        }
    }
}
