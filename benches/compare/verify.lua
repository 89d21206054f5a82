-- What the data plane checks of a request, as an nginx administrator would write it: an RFC 9421 `hmac-sha256` signature
-- by one known key, its age, its nonce, and the digest of the body. For the comparison only; it is not a gateway.
local ffi = require "ffi"
local bit = require "bit"
pcall(ffi.cdef, [[
const void *EVP_sha256(void);
unsigned char *HMAC(const void *md, const void *key, int key_len, const unsigned char *data, size_t data_len,
                    unsigned char *out, unsigned int *out_len);
unsigned char *SHA256(const unsigned char *data, size_t data_len, unsigned char *out);
]])
local crypto = ffi.load("libcrypto.so.3")
local out = ffi.new("unsigned char[32]")
local CLOCK_WINDOW_SECS = 300

local function refuse() return ngx.exit(401) end

local function equal(a, b)
    if #a ~= #b then return false end
    local difference = 0
    for at = 1, #a do difference = bit.bor(difference, bit.bxor(a:byte(at), b:byte(at))) end
    return difference == 0
end

local var = ngx.var
local input, signature = var.http_signature_input, var.http_signature
if not input or not signature then return refuse() end
local params = input:match("^sig1=(.+)$")
local covered = params and params:match("^(%b())")
local key, nonce = input:match(';keyid="([^"]+)"'), input:match(';nonce="([^"]+)"')
local created = tonumber(input:match(";created=(%d+)"))
if not covered or key ~= var.access_key or not nonce or not created then return refuse() end
if math.abs(ngx.time() - created) > CLOCK_WINDOW_SECS then return refuse() end

local path, query = var.request_uri:match("^([^?]*)%??(.*)$")
local values = {
    ["@method"] = var.request_method, ["@authority"] = var.http_host, ["@path"] = path, ["@query"] = "?" .. query,
    ["content-digest"] = var.http_content_digest,
}
local lines, seen = {}, {}
for name in covered:gmatch('"([^"]+)"') do
    if not values[name] then return refuse() end
    seen[name] = true
    lines[#lines + 1] = '"' .. name .. '": ' .. values[name]
end
if not (seen["@method"] and seen["@authority"] and seen["@path"] and seen["@query"]) then return refuse() end
lines[#lines + 1] = '"@signature-params": ' .. params
local base = table.concat(lines, "\n")
crypto.HMAC(crypto.EVP_sha256(), var.secret_key, #var.secret_key, base, #base, out, nil)
if not equal(ffi.string(out, 32), ngx.decode_base64(signature:match(":([^:]+):") or "") or "") then return refuse() end
if not ngx.shared.nonces:add(nonce, true, CLOCK_WINDOW_SECS) then return refuse() end

if var.http_content_length or var.http_transfer_encoding then
    if not seen["content-digest"] then return refuse() end
    ngx.req.read_body()
    local body = ngx.req.get_body_data() or ""
    crypto.SHA256(body, #body, out)
    if var.http_content_digest ~= "sha-256=:" .. ngx.encode_base64(ffi.string(out, 32)) .. ":" then return refuse() end
end
