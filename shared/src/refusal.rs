//! Every reason a request can be refused for: a closed set of codes, their HTTP statuses, and what callers are told.
//!
//! A code is the `code` of the problem document (RFC 9457), the metric label, and the outcome in the record. Its texts
//! speak to the caller: what happened and what to do next. They never hold a secret, a payload or a query string.

use std::fmt;

use serde::Serialize;

mod decision;
mod step;

pub use decision::{Decision, DecisionId};
pub use step::Step;

/// The language of a problem document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Tiếng Việt; the default.
    Vietnamese,
    /// English.
    English,
}

impl Language {
    /// The better of the two for an `Accept-Language` value (RFC 9110 section 12.5.4); Vietnamese when neither is named.
    pub fn negotiate(accept_language: Option<&str>) -> Self {
        let quality = |wanted: &str| {
            let ranges = accept_language.unwrap_or_default().split(',');
            let matching = ranges.filter_map(|range| {
                let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
                let primary = tag.trim().split('-').next().unwrap_or_default();
                let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.parse::<f32>().ok())?;
                primary.eq_ignore_ascii_case(wanted).then_some(weight)
            });
            matching.fold(0.0, f32::max)
        };
        if quality("en") > quality("vi") { Language::English } else { Language::Vietnamese }
    }

    /// The tag for `Content-Language`.
    pub fn tag(self) -> &'static str {
        match self {
            Language::Vietnamese => "vi",
            Language::English => "en",
        }
    }
}

/// What a caller reads about a refusal, in one language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    /// What happened.
    pub title: &'static str,
    /// What to do next.
    pub next: &'static str,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident, $label:literal, $status:literal, $proxy:literal,
        vi: $vi:literal => $vi_next:literal, en: $en:literal => $en_next:literal;)*) => {
        /// Why a request was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The stable name: `code` in problem documents, label in metrics, outcome in records.
            pub fn label(self) -> &'static str {
                match self { $(Code::$name => $label,)* }
            }

            /// The HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Code::$name => $status,)* }
            }

            /// The RFC 9209 proxy error type.
            pub fn proxy_error(self) -> &'static str {
                match self { $(Code::$name => $proxy,)* }
            }

            /// What the caller reads.
            pub fn advice(self, language: Language) -> Advice {
                match (self, language) {
                    $((Code::$name, Language::Vietnamese) => Advice { title: $vi, next: $vi_next },
                      (Code::$name, Language::English) => Advice { title: $en, next: $en_next },)*
                }
            }
        }
    };
}

codes! {
    /// The bytes are not an unambiguous HTTP request.
    RequestMalformed, "request-malformed", 400, "http_request_error",
        vi: "Yêu cầu HTTP không hợp lệ hoặc có thể hiểu theo nhiều cách" => "Gửi lại bằng một thư viện HTTP chuẩn; `detail` nêu phần bị từ chối.",
        en: "The HTTP request is malformed or ambiguous" => "Send it again with a standard HTTP library; `detail` names the part that was refused.";
    /// An HTTP version this node does not speak.
    VersionUnsupported, "version-unsupported", 505, "http_request_error",
        vi: "Phiên bản HTTP không được hỗ trợ" => "Dùng HTTP/1.1 hoặc HTTP/2.",
        en: "The HTTP version is not supported" => "Use HTTP/1.1 or HTTP/2.";
    /// The header did not arrive in time.
    HeaderTimeout, "header-timeout", 408, "http_request_error",
        vi: "Phần đầu của yêu cầu không đến đủ trong thời hạn" => "Gửi toàn bộ phần đầu ngay sau khi kết nối.",
        en: "The request head did not arrive in time" => "Send the whole head at once after connecting.";
    /// The header list is too large.
    HeaderTooLarge, "header-too-large", 431, "http_request_error",
        vi: "Phần đầu của yêu cầu quá lớn" => "Giảm số lượng hoặc độ dài các header.",
        en: "The request head is too large" => "Send fewer or shorter headers.";
    /// The target is too long.
    PathTooLong, "path-too-long", 414, "http_request_error",
        vi: "Đường dẫn quá dài" => "Rút ngắn đường dẫn hoặc chuyển tham số vào nội dung.",
        en: "The path is too long" => "Shorten it, or move parameters into the body.";
    /// `Expect` holds something other than `100-continue`.
    ExpectationFailed, "expectation-failed", 417, "http_request_error",
        vi: "Giá trị header `Expect` không được hỗ trợ" => "Bỏ header `Expect` hoặc dùng `100-continue`.",
        en: "The `Expect` header is not supported" => "Leave it out, or use `100-continue`.";
    /// No signature at all.
    SignatureMissing, "signature-missing", 401, "http_request_denied",
        vi: "Yêu cầu chưa được ký" => "Ký yêu cầu bằng khóa truy xuất: RFC 9421 hoặc AWS SigV4.",
        en: "The request is not signed" => "Sign it with your credential: RFC 9421 or AWS SigV4.";
    /// The signature's own syntax is wrong.
    SignatureMalformed, "signature-malformed", 400, "http_request_error",
        vi: "Chữ ký sai cú pháp" => "Kiểm tra phần được nêu trong `detail`.",
        en: "The signature is malformed" => "Check the part named in `detail`.";
    /// Something that has to be signed is not.
    SignatureIncomplete, "signature-incomplete", 401, "http_request_denied",
        vi: "Chữ ký chưa bao gồm đủ các thành phần bắt buộc" => "Ký thêm thành phần được nêu trong `detail`.",
        en: "The signature does not cover everything it has to" => "Also sign the component named in `detail`.";
    /// The access key is not known.
    KeyUnknown, "key-unknown", 401, "http_request_denied",
        vi: "Không tìm thấy khóa truy xuất" => "Kiểm tra access key đã được cấp.",
        en: "The access key is not known" => "Check the access key you were issued.";
    /// The signature is not the one the secret makes.
    SignatureInvalid, "signature-invalid", 401, "http_request_denied",
        vi: "Chữ ký không đúng" => "Kiểm tra secret key và các thành phần đã ký: phương thức, máy chủ, đường dẫn, tham số.",
        en: "The signature does not match" => "Check the secret key and what was signed: method, host, path, query.";
    /// The credential is disabled.
    KeyDisabled, "key-disabled", 403, "http_request_denied",
        vi: "Khóa truy xuất đã bị vô hiệu hóa" => "Liên hệ đơn vị vận hành để được cấp khóa mới.",
        en: "The credential is disabled" => "Ask the operator for a new credential.";
    /// The credential's time is over.
    KeyExpired, "key-expired", 403, "http_request_denied",
        vi: "Khóa truy xuất đã hết hạn" => "Dùng khóa mới; nếu chưa có, liên hệ đơn vị vận hành.",
        en: "The credential has expired" => "Use its successor; ask the operator if you have none.";
    /// The credential was replaced by its successor, and the overlap is over.
    KeyRetired, "key-retired", 403, "http_request_denied",
        vi: "Khóa truy xuất đã được thay bằng khóa mới và đã hết thời gian chuyển tiếp" => "Dùng khóa mới đã được cấp; nếu chưa có, liên hệ đơn vị vận hành.",
        en: "The credential was replaced, and its overlap is over" => "Use its successor; ask the operator if you have none.";
    /// The credential's time has not come.
    KeyNotYetValid, "key-not-yet-valid", 403, "http_request_denied",
        vi: "Khóa truy xuất chưa đến thời điểm có hiệu lực" => "Dùng khóa hiện hành cho đến khi khóa này có hiệu lực.",
        en: "The credential is not valid yet" => "Use the current one until it is.";
    /// Signed too long ago or in the future.
    ClockSkew, "clock-skew", 401, "http_request_denied",
        vi: "Thời điểm ký lệch quá xa so với đồng hồ của hệ thống" => "Đồng bộ đồng hồ (NTP) và ký lại.",
        en: "The signing time is too far from this node's clock" => "Synchronise your clock (NTP) and sign again.";
    /// The signature's own expiry has passed.
    SignatureExpired, "signature-expired", 401, "http_request_denied",
        vi: "Chữ ký đã hết hạn" => "Ký lại yêu cầu.",
        en: "The signature has expired" => "Sign the request again.";
    /// The route wants a nonce.
    NonceMissing, "nonce-missing", 401, "http_request_denied",
        vi: "Yêu cầu thiếu nonce" => "Thêm header `lgsp-nonce` với giá trị ngẫu nhiên và ký nó.",
        en: "The request carries no nonce" => "Add a `lgsp-nonce` header with a random value, and sign it.";
    /// Seen before.
    Replayed, "replayed", 401, "http_request_denied",
        vi: "Yêu cầu này đã được nhận trước đó" => "Tạo chữ ký mới cho mỗi yêu cầu, không gửi lại chữ ký cũ.",
        en: "This request was already received" => "Sign every request anew; never send a signature twice.";
    /// An equal SigV4 signature was seen before; one of the next second will be another.
    SignatureRepeated, "signature-repeated", 503, "http_request_denied",
        vi: "Một yêu cầu có cùng chữ ký đã được nhận trong cùng một giây" => "Chờ hết thời gian ghi trong `Retry-After`, ký lại rồi gửi lại; để gửi nhiều yêu cầu giống nhau trong một giây, thêm header `lgsp-nonce` và ký nó.",
        en: "A request with the same signature was already received: SigV4 signs whole seconds" => "Wait for `Retry-After`, sign again and send it again; to send equal requests within a second, add a `lgsp-nonce` header and sign it.";
    /// It may have been taken before this process of the node began.
    ReplayUnknown, "replay-unknown", 503, "proxy_internal_error",
        vi: "Nút vừa khởi động lại nên không thể biết yêu cầu này đã được thực hiện hay chưa" => "Ký lại rồi gửi lại yêu cầu.",
        en: "The node was restarted and cannot know whether this request was already executed" => "Sign it again and send it again.";
    /// The replay window has no room.
    ReplayWindowFull, "replay-window-full", 503, "proxy_internal_error",
        vi: "Nút đang nhận quá nhiều yêu cầu nên không thể bảo đảm chống gửi lại" => "Thử lại sau thời gian ghi trong `Retry-After`.",
        en: "The node receives more requests than it can protect against replay" => "Try again after `Retry-After`.";
    /// Another node has to be asked whether it has seen the request, and does not answer.
    ReplayOwnerUnreachable, "replay-owner-unreachable", 503, "proxy_internal_error",
        vi: "Chưa thể xác nhận với các nút khác rằng yêu cầu này là mới" => "Ký lại rồi gửi lại yêu cầu.",
        en: "The other nodes cannot be asked whether this request is new" => "Sign it anew and send it again.";
    /// No route takes this host, path and method.
    RouteNotFound, "route-not-found", 404, "destination_not_found",
        vi: "Không có tuyến nào cho máy chủ và đường dẫn này" => "Kiểm tra đường dẫn trong hướng dẫn kết nối.",
        en: "No route takes this host and path" => "Check the path against the connection guide.";
    /// A route takes the path, but not with this method.
    MethodNotAllowed, "method-not-allowed", 405, "http_request_denied",
        vi: "Tuyến này không nhận phương thức đã dùng" => "Dùng một phương thức trong header `Allow`.",
        en: "The route does not take this method" => "Use one of the methods in the `Allow` header.";
    /// The route has a restriction this node does not understand.
    RouteClosed, "route-closed", 503, "proxy_configuration_error",
        vi: "Tuyến đang đóng vì có ràng buộc mà nút chưa hiểu" => "Đơn vị vận hành cần nâng cấp nút.",
        en: "The route is closed: it has a restriction this node does not understand" => "The operator has to upgrade the node.";
    /// No grant for this source, service, method and path.
    PermissionMissing, "permission-missing", 403, "http_request_denied",
        vi: "Hệ thống chưa có quyền gọi dịch vụ này với phương thức và đường dẫn này" => "Đề nghị đơn vị vận hành cấp quyền.",
        en: "The system has no permission for this service, method and path" => "Ask the operator for the permission.";
    /// The grant's rate is used up.
    QuotaExceeded, "quota-exceeded", 429, "http_request_denied",
        vi: "Đã vượt hạn mức số yêu cầu" => "Thử lại sau thời gian ghi trong `Retry-After`.",
        en: "The quota is used up" => "Try again after `Retry-After`.";
    /// The route takes requests of a session only.
    SessionRequired, "session-required", 401, "http_request_denied",
        vi: "Tuyến này chỉ nhận yêu cầu thuộc một phiên truy xuất" => "Xin phiên tại `POST /lgsp/v1/sessions`, rồi gửi và ký `lgsp-session` cùng `lgsp-session-proof`.",
        en: "The route takes requests of a session only" => "Open one at `POST /lgsp/v1/sessions`, then send and sign `lgsp-session` and `lgsp-session-proof`.";
    /// The ticket is none of this platform's, or its key is no longer listed.
    SessionInvalid, "session-invalid", 401, "http_request_denied",
        vi: "Thông tin phiên truy xuất không hợp lệ" => "Gửi nguyên văn `ticket` đã nhận; nếu khóa đã được thay, hãy xin phiên mới.",
        en: "The session's ticket is not valid" => "Send the `ticket` exactly as received; if keys were rotated, open a new session.";
    /// The session's time is over.
    SessionExpired, "session-expired", 401, "http_request_denied",
        vi: "Phiên truy xuất đã hết hạn" => "Xin phiên mới tại `POST /lgsp/v1/sessions`.",
        en: "The session has expired" => "Open a new one at `POST /lgsp/v1/sessions`.";
    /// The ticket was given to another credential.
    SessionForeign, "session-foreign", 403, "http_request_denied",
        vi: "Phiên truy xuất được cấp cho khóa khác" => "Ký bằng đúng khóa đã xin phiên, hoặc xin phiên bằng khóa này.",
        en: "The session was given to another credential" => "Sign with the credential that opened it, or open one with this credential.";
    /// The proof is not the one the session key makes.
    SessionProofInvalid, "session-proof-invalid", 401, "http_request_denied",
        vi: "`lgsp-session-proof` không đúng với khóa phiên và nonce của yêu cầu" => "Tính lại HMAC-SHA256 bằng khóa phiên trên đúng nonce của yêu cầu này.",
        en: "`lgsp-session-proof` does not match the session key and this request's nonce" => "Compute the HMAC-SHA256 with the session key over the nonce of this very request.";
    /// The ticket names another service.
    SessionWrongTarget, "session-wrong-target", 403, "http_request_denied",
        vi: "Phiên truy xuất được cấp cho dịch vụ đích khác" => "Xin phiên cho đúng dịch vụ cần gọi.",
        en: "The session is for another target service" => "Open a session for the service you call.";
    /// The ticket does not name this method and path.
    SessionOutOfScope, "session-out-of-scope", 403, "http_request_denied",
        vi: "Phiên truy xuất không bao gồm phương thức và đường dẫn này" => "Xin phiên mới có phương thức và đường dẫn cần dùng.",
        en: "The session does not cover this method and path" => "Open a new session that names them.";
    /// A session of this target is not known by this ticket. Said alike of tickets that do not exist and of other targets'.
    SessionUnknown, "session-unknown", 404, "http_request_denied",
        vi: "Không có phiên truy xuất nào như vậy với dịch vụ này" => "Từ chối yêu cầu; nguồn gửi cần xin phiên cho dịch vụ này.",
        en: "There is no such session with this service" => "Refuse the request; its source has to open a session with this service.";
    /// What the session would cover does not fit into a ticket.
    SessionScopeTooLarge, "session-scope-too-large", 422, "http_request_error",
        vi: "Phạm vi của phiên quá dài so với kích thước cho phép" => "Nêu `methods` và `paths` cần dùng khi xin phiên.",
        en: "What the session would cover does not fit into a ticket" => "Name the `methods` and `paths` you need when you open it.";
    /// The body of a request to the platform itself is not what it expects.
    BodyMalformed, "body-malformed", 400, "http_request_error",
        vi: "Nội dung yêu cầu gửi tới nền tảng không đúng định dạng" => "Sửa trường được nêu trong `detail`; xem hướng dẫn kết nối.",
        en: "The body is not what the platform expects here" => "Correct the field named in `detail`; see the connection guide.";
    /// There is a body, but nothing signed vouches for it.
    DigestMissing, "digest-missing", 401, "http_request_denied",
        vi: "Nội dung chưa có mã băm được ký" => "Thêm và ký `Content-Digest`, hoặc dùng SigV4 với mã băm nội dung.",
        en: "Nothing signed vouches for the body" => "Add and sign `Content-Digest`, or use SigV4 with a payload hash.";
    /// The body is not the one that was signed.
    DigestMismatch, "digest-mismatch", 400, "http_request_error",
        vi: "Nội dung nhận được không khớp mã băm đã ký" => "Tính lại mã băm trên đúng nội dung gửi đi và ký lại.",
        en: "The body does not match the signed digest" => "Compute the digest over exactly what is sent, and sign again.";
    /// A chunk's signature is wrong.
    ChunkSignatureInvalid, "chunk-signature-invalid", 400, "http_request_error",
        vi: "Chữ ký của một khối nội dung không đúng" => "Kiểm tra cách ký từng khối (STREAMING-AWS4-HMAC-SHA256-PAYLOAD).",
        en: "A chunk's signature does not match" => "Check how chunks are signed (STREAMING-AWS4-HMAC-SHA256-PAYLOAD).";
    /// The body is larger than allowed.
    BodyTooLarge, "body-too-large", 413, "http_request_error",
        vi: "Nội dung vượt kích thước cho phép" => "Chia nhỏ nội dung hoặc đề nghị tăng giới hạn của tuyến.",
        en: "The body is larger than the route allows" => "Split it, or ask for a larger limit on the route.";
    /// The body stopped arriving, or was cut.
    BodyIncomplete, "body-incomplete", 400, "http_request_error",
        vi: "Nội dung bị cắt hoặc sai khung" => "Gửi lại toàn bộ nội dung.",
        en: "The body was cut or wrongly framed" => "Send all of it again.";
    /// The source paused too long within the body.
    BodyTimeout, "body-timeout", 408, "http_request_error",
        vi: "Nội dung ngừng đến quá lâu" => "Kiểm tra đường truyền và gửi lại.",
        en: "The body stopped arriving for too long" => "Check the connection and send it again.";
    /// Nothing answers at the target's addresses.
    TargetUnreachable, "target-unreachable", 502, "destination_unavailable",
        vi: "Không kết nối được tới dịch vụ đích" => "Thử lại sau; đơn vị vận hành đã thấy sự cố này.",
        en: "The target service cannot be reached" => "Try again later; the operator sees this too.";
    /// The target's certificate does not verify.
    TargetTls, "target-tls", 502, "tls_certificate_error",
        vi: "Không xác thực được chứng thư của dịch vụ đích" => "Đơn vị vận hành dịch vụ đích cần kiểm tra chứng thư.",
        en: "The target's certificate does not verify" => "The target's operator has to check its certificate.";
    /// The target said something that is not HTTP.
    TargetProtocol, "target-protocol", 502, "http_protocol_error",
        vi: "Dịch vụ đích trả lời sai giao thức HTTP" => "Đơn vị vận hành dịch vụ đích cần kiểm tra.",
        en: "The target's answer is not valid HTTP" => "The target's operator has to look at it.";
    /// The target closed before it answered.
    TargetClosed, "target-closed", 502, "connection_terminated",
        vi: "Dịch vụ đích đóng kết nối trước khi trả lời" => "Kiểm tra xem yêu cầu đã được xử lý chưa trước khi gửi lại.",
        en: "The target closed the connection before it answered" => "Find out whether it was processed before sending it again.";
    /// No first byte in time.
    TargetTimeout, "target-timeout", 504, "http_response_timeout",
        vi: "Dịch vụ đích không trả lời trong thời hạn" => "Kiểm tra xem yêu cầu đã được xử lý chưa trước khi gửi lại.",
        en: "The target did not answer in time" => "Find out whether it was processed before sending it again.";
    /// All endpoints are out.
    TargetUnhealthy, "target-unhealthy", 503, "destination_unavailable",
        vi: "Dịch vụ đích đang tạm ngừng" => "Thử lại sau thời gian ghi trong `Retry-After`.",
        en: "The target service is out of service" => "Try again after `Retry-After`.";
    /// All endpoints are at their cap.
    TargetBusy, "target-busy", 503, "connection_limit_reached",
        vi: "Dịch vụ đích đang xử lý số yêu cầu tối đa" => "Thử lại sau thời gian ghi trong `Retry-After`.",
        en: "The target service is at its limit" => "Try again after `Retry-After`.";
    /// The source holds its share of the service's places.
    SourceBusy, "source-busy", 429, "connection_limit_reached",
        vi: "Hệ thống đang có quá nhiều lượt trao đổi chưa kết thúc với dịch vụ này" => "Chờ các lượt đang xử lý kết thúc rồi thử lại sau thời gian ghi trong `Retry-After`.",
        en: "Your system has too many exchanges in flight at this service" => "Wait for some of them to end, and try again after `Retry-After`.";
    /// The node is over its limits.
    Overloaded, "overloaded", 503, "connection_limit_reached",
        vi: "Nút đang quá tải" => "Thử lại sau thời gian ghi trong `Retry-After`.",
        en: "The node is over its limits" => "Try again after `Retry-After`.";
    /// Records cannot be written and the policy is to refuse.
    RecordsUnavailable, "records-unavailable", 503, "proxy_internal_error",
        vi: "Nút không ghi được nhật ký nên từ chối phục vụ" => "Thử lại sau; đơn vị vận hành đã thấy sự cố này.",
        en: "The node cannot write records and refuses to serve without them" => "Try again later; the operator sees this too.";
    /// A fault of this program.
    Internal, "internal", 500, "proxy_internal_error",
        vi: "Lỗi nội bộ của nút" => "Gửi `request_id` cho đơn vị vận hành.",
        en: "A fault inside the node" => "Give the `request_id` to the operator.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unique_and_kebab_case() {
        let labels: std::collections::BTreeSet<&str> = Code::ALL.iter().map(|code| code.label()).collect();
        assert_eq!(labels.len(), Code::ALL.len());
        assert!(labels.iter().all(|label| label.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }

    #[test]
    fn the_better_language_is_chosen_and_vietnamese_is_the_default() {
        use Language::{English, Vietnamese};
        let cases = [
            (None, Vietnamese),
            (Some("*"), Vietnamese),
            (Some("en"), English),
            (Some("en-GB,vi;q=0.5"), English),
            (Some("en;q=0.2, vi-VN"), Vietnamese),
            (Some("fr, en;q=x"), Vietnamese),
        ];
        for (header, language) in cases {
            assert_eq!(Language::negotiate(header), language, "{header:?}");
        }
    }
}
