-- Portolan's frames in Wireshark and tshark (4.0): header, record headers, ACK, HEARTBEAT and HANDSHAKE of
-- bpf/layout/wire.h, version 1; broker/wire/PROTOCOL.md explains the fields.
--   tshark -X lua_script:scripts/wireshark/portolan.lua -r RUN/pcap/LINK.pcap
-- Inside VXLAN and out; found by its shape on any UDP port. Bodies in clear only (plain mode).

local frame_bytes, record_bytes, trailer_bytes = 40, 32, 16
local types = { [1] = "DATA", [2] = "PARITY", [3] = "ACK", [4] = "HEARTBEAT", [5] = "PROBE", [6] = "HANDSHAKE",
                [7] = "RESET", [8] = "CLOSE" }
local lanes = { [0] = "control", [1] = "ordered", [2] = "realtime", [3] = "bulk" }
local controls = { [1] = "TOPIC", [2] = "STREAM", [3] = "INTEREST", [4] = "SUBSCRIBED", [5] = "RESUME", [6] = "DETACHED",
                   [7] = "GONE", [8] = "BUSY", [9] = "WANT", [10] = "GRANT", [11] = "NEED", [12] = "ABANDON", [13] = "GAP",
                   [14] = "ASK" }

local p = Proto("portolan", "Portolan")
local f = {
  version = ProtoField.uint8("portolan.version", "Version", base.DEC, nil, 0xf0),
  type = ProtoField.uint8("portolan.type", "Type", base.DEC, types, 0x0f),
  flags = ProtoField.uint8("portolan.flags", "Flags", base.HEX),
  retransmit = ProtoField.bool("portolan.flags.retransmit", "Sent before", 8, nil, 0x01),
  key_phase = ProtoField.bool("portolan.flags.key_phase", "Key phase", 8, nil, 0x02),
  multiplexed = ProtoField.bool("portolan.flags.multiplexed", "Whole short messages", 8, nil, 0x04),
  lane = ProtoField.uint8("portolan.lane", "Lane", base.DEC, lanes, 0x18),
  large = ProtoField.bool("portolan.flags.large", "Large segment", 8, nil, 0x20),
  fragment_bytes = ProtoField.uint32("portolan.fragment.bytes", "Fragment size"),
  fragment_index = ProtoField.uint8("portolan.fragment.index", "Fragment index"),
  session = ProtoField.uint32("portolan.session", "Session (the receiver's)", base.HEX),
  packet = ProtoField.uint64("portolan.packet", "Packet number"),
  ticket = ProtoField.uint32("portolan.ticket", "Ticket"),
  bytes = ProtoField.uint32("portolan.bytes", "Bytes of the segment or payload"),
  crc = ProtoField.uint32("portolan.crc", "CRC-32C", base.HEX),
  fec = ProtoField.uint32("portolan.fec", "FEC", base.HEX),
  tag = ProtoField.uint64("portolan.tag", "Tag", base.HEX),
  payload = ProtoField.bytes("portolan.payload", "Payload"),
  trailer = ProtoField.bytes("portolan.trailer", "Trailer"),
  record = ProtoField.none("portolan.record", "Message"),
  record_lane = ProtoField.uint32("portolan.record.lane", "Lane", base.DEC, lanes),
  record_length = ProtoField.uint32("portolan.record.length", "Length"),
  record_topic = ProtoField.uint32("portolan.record.topic", "Topic alias"),
  record_control = ProtoField.uint32("portolan.record.control", "Control", base.DEC, controls),
  record_publisher = ProtoField.uint32("portolan.record.publisher", "Stream alias"),
  record_number = ProtoField.uint32("portolan.record.number", "Message number"),
  record_sequence = ProtoField.uint64("portolan.record.sequence", "Sequence"),
  record_epoch = ProtoField.uint32("portolan.record.epoch", "Epoch"),
  record_segment = ProtoField.uint16("portolan.record.segment", "Segment"),
  record_last = ProtoField.uint16("portolan.record.last_segment", "Last segment"),
  record_body = ProtoField.bytes("portolan.record.body", "Body"),
  contiguous = ProtoField.uint64("portolan.ack.contiguous", "All came up to"),
  largest = ProtoField.uint64("portolan.ack.largest", "Largest that came"),
  mature = ProtoField.uint64("portolan.ack.mature", "Missing counts as lost up to"),
  settled = ProtoField.uint64("portolan.ack.settled", "Settled"),
  credit = ProtoField.uint64("portolan.ack.credit", "Credit"),
  ack_bytes = ProtoField.uint64("portolan.ack.bytes", "Bytes received"),
  delay = ProtoField.uint32("portolan.ack.delay", "Delay (ns)"),
  ce = ProtoField.uint32("portolan.ack.ce", "CE marks"),
  handshake = ProtoField.uint32("portolan.handshake.kind", "Kind"),
}
p.fields = f
local damaged = ProtoExpert.new("portolan.damaged", "Record runs past the payload", expert.group.MALFORMED, expert.severity.WARN)
p.experts = { damaged }

-- Order of an ACK's body: broker/session/frame.hpp.
local ack_fields = { { "contiguous", 8 }, { "largest", 8 }, { "mature", 8 }, { "settled", 8 }, { "credit", 8 },
                     { "ack_bytes", 8 }, { "delay", 4 }, { "ce", 4 } }

local function record(buffer, at, last, tree)
  local head = buffer(at + 0, 4):le_uint()
  local flags = bit.rshift(head, 24)
  local length = bit.band(head, 0xffffff) + 1
  if bit.band(flags, 4) ~= 0 then length = 0 end
  local lane = bit.band(flags, 3)
  local fits = math.min(length, last - at - record_bytes)
  local item = tree:add(f.record, buffer(at, record_bytes + fits))
  item:add(f.record_lane, buffer(at + 3, 1), lane)
  item:add(f.record_length, buffer(at, 3), length)
  local what
  if lane == 0 then
    item:add_le(f.record_control, buffer(at + 4, 4))
    what = controls[buffer(at + 4, 4):le_uint()] or "control ?"
  else
    item:add_le(f.record_topic, buffer(at + 4, 4))
    item:add_le(f.record_publisher, buffer(at + 8, 4))
    what = "topic " .. buffer(at + 4, 4):le_uint() .. " #" .. tostring(buffer(at + 16, 8):le_uint64())
  end
  item:add_le(f.record_number, buffer(at + 12, 4))
  item:add_le(f.record_sequence, buffer(at + 16, 8))
  item:add_le(f.record_epoch, buffer(at + 24, 4))
  item:add_le(f.record_segment, buffer(at + 28, 2))
  item:add_le(f.record_last, buffer(at + 30, 2))
  if fits > 0 then item:add(f.record_body, buffer(at + record_bytes, fits)) end
  item:append_text(": " .. what .. ", " .. length .. " bytes")
  return length, what, item
end

local function records(buffer, tree)
  local at, last, told = frame_bytes, buffer:len() - trailer_bytes, {}
  while at + record_bytes <= last do
    local length, what, item = record(buffer, at, last, tree)
    told[#told + 1] = what
    if at + record_bytes + length > last then
      item:add_proto_expert_info(damaged)
      break
    end
    at = at + math.floor((record_bytes + length + 7) / 8) * 8
  end
  return table.concat(told, ", ")
end

function p.dissector(buffer, pinfo, root)
  if buffer:len() < frame_bytes then return 0 end
  local kind = bit.band(buffer(0, 1):uint(), 0x0f)
  local flags = buffer(1, 1):uint()
  pinfo.cols.protocol = "Portolan"
  local tree = root:add(p, buffer())
  tree:add(f.version, buffer(0, 1))
  tree:add(f.type, buffer(0, 1))
  local bits = tree:add(f.flags, buffer(1, 1))
  for _, name in ipairs({ "retransmit", "key_phase", "multiplexed", "lane", "large" }) do bits:add(f[name], buffer(1, 1)) end
  tree:add(f.fragment_bytes, buffer(2, 1), buffer(2, 1):uint() * 64)
  tree:add(f.fragment_index, buffer(3, 1))
  tree:add_le(f.session, buffer(4, 4))
  tree:add_le(f.packet, buffer(8, 8))
  tree:add_le(f.ticket, buffer(16, 4))
  tree:add_le(f.bytes, buffer(20, 4))
  tree:add_le(f.crc, buffer(24, 4))
  tree:add_le(f.fec, buffer(28, 4))
  tree:add_le(f.tag, buffer(32, 8))
  local said = (types[kind] or "type " .. kind) .. " " .. tostring(buffer(8, 8):le_uint64())
  if bit.band(flags, 1) ~= 0 then said = said .. " again" end
  local rest = buffer:len() - frame_bytes
  if kind == 1 and bit.band(flags, 4) ~= 0 then
    said = said .. " [" .. records(buffer, tree) .. "]"
  elseif kind == 1 then
    said = said .. " fragment " .. buffer(3, 1):uint() .. " of ticket " .. buffer(16, 4):le_uint()
  elseif kind == 3 and rest >= 56 then
    local at = frame_bytes
    for _, field in ipairs(ack_fields) do
      tree:add_le(f[field[1]], buffer(at, field[2]))
      at = at + field[2]
    end
    said = said .. " up to " .. tostring(buffer(frame_bytes, 8):le_uint64())
  elseif kind == 6 and rest >= 4 then
    tree:add_le(f.handshake, buffer(frame_bytes, 4))
  end
  if rest >= trailer_bytes and not (kind == 1 and bit.band(flags, 4) == 0) then
    tree:add(f.trailer, buffer(buffer:len() - trailer_bytes, trailer_bytes))
  elseif rest > 0 then
    tree:add(f.payload, buffer(frame_bytes))
  end
  pinfo.cols.info = said
  return buffer:len()
end

-- By its shape: version 1, a known type, nothing claimed that cannot be.
local function looks_like_ours(buffer, pinfo, root)
  if buffer:len() < frame_bytes then return false end
  local first = buffer(0, 1):uint()
  if bit.rshift(first, 4) ~= 1 or types[bit.band(first, 0x0f)] == nil then return false end
  if bit.band(buffer(1, 1):uint(), 0xc0) ~= 0 or buffer(20, 4):le_uint() > 65536 then return false end
  p.dissector(buffer, pinfo, root)
  return true
end
p:register_heuristic("udp", looks_like_ours)
DissectorTable.get("udp.port"):add(7400, p)
