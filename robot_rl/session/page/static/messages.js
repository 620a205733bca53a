/**
 * What the session's process tells and what it is told, as in `robot_rl/session/view.py` and
 * `command.py`. Times are ages [s]: this machine has another clock.
 *
 * @typedef {"preflight"|"ready"|"resetting"|"auto"|"human"|"hold"|"stop"|"review"|"paused"
 *   |"learning"} Mode
 * @typedef {"check"|"confirm"|"start"|"take_over"|"give_back"|"pause"|"resume"|"success"|"failure"
 *   |"re_record"|"next"|"undo"|"note"|"relabel"|"trim"|"delete"|"stop"|"clear"|"end"} Verb
 * @typedef {"unknown"|"success"|"failure"} Outcome
 *
 * @typedef {object} CameraView
 * @property {string} name
 * @property {number} width
 * @property {number} height
 * @property {number} rate_hz
 * @property {?number} age_s
 * @property {boolean} frozen told anew, but its picture has not changed for long
 *
 * @typedef {object} ForceView in the tcp frame, of the environment on the tool
 * @property {number[]} force_n
 * @property {number[]} torque_n_m
 * @property {number} limit_n
 * @property {number} limit_n_m
 * @property {Object<string, number[]>} tactile
 *
 * @typedef {object} ActionView normalised to [-1, 1]
 * @property {string[]} names
 * @property {number[]} base
 * @property {number[]} proposed
 * @property {number[]} executed
 * @property {string} gate_reason other than PASSED: the gate changed the action
 *
 * @typedef {object} Notice
 * @property {number} number grows
 * @property {"good"|"info"|"bad"} level
 * @property {string} words
 * @property {""|"take_over"|"give_back"|"saved"|"hold"|"stop"|"error"} sound
 * @property {string} say words for a voice; empty for none
 *
 * @typedef {object} EpisodeRow
 * @property {string} episode_id
 * @property {Outcome} outcome
 * @property {boolean} assisted
 * @property {number} steps
 * @property {number} seconds
 * @property {string} note
 * @property {boolean} discarded
 *
 * @typedef {object} View the whole session at one instant
 * @property {number} number
 * @property {string} run
 * @property {string} task
 * @property {Mode} mode
 * @property {number} mode_s
 * @property {string} driver `policy`, a person's name, or `nobody`
 * @property {string} holder client that may drive by keys now; empty for none
 * @property {string} why
 * @property {Verb[]} legal
 * @property {number} period_s
 * @property {?object} episode `EpisodeView`
 * @property {CameraView[]} cameras
 * @property {?ForceView} force
 * @property {?ActionView} action
 * @property {?{model: string, probability: ?number, threshold: ?number, frame_age_s: ?number}} reward
 * @property {?object} learner `LearnerView`
 * @property {?object} data `DataView`
 * @property {object[]} rates `RatesPoint`: each rate with its 95 % interval, (rate, low, high)
 * @property {{name: string, state: "waiting"|"good"|"bad"|"ask", words: string, remedy: string}[]} checks
 * @property {string[]} hints
 * @property {EpisodeRow[]} rows newest first
 * @property {Notice[]} notices oldest first
 * @property {number} key_speed what a held key asks for, normalised
 *
 * @typedef {object} Answer
 * @property {number} number of the command
 * @property {boolean} done
 * @property {string} words
 *
 * @typedef {object} Picture one frame of one camera
 * @property {number} index as it came, with the bit of a reference
 * @property {number} camera index in the newest `cameras` message
 * @property {number} number
 * @property {boolean} reference the picture that the camera's pose is compared with
 * @property {number} age_ms when it was sent, by the session's own clock
 * @property {Blob} jpeg
 *
 * @typedef {object} Status how well this page hears the session
 * @property {boolean} open
 * @property {boolean} live a view has come within the last second
 * @property {number} silent_s since the newest view
 * @property {string} words why there is no connection; empty if there is one
 */

const HEADER_BYTES = 24;
const REFERENCE_BIT = 0x80000000;

/**
 * Read a binary message: camera, number (uint32), capture and send time (float64), then JPEG.
 * @param {ArrayBuffer} bytes
 * @returns {Picture}
 */
export function readPicture(bytes) {
  const header = new DataView(bytes, 0, HEADER_BYTES);
  const index = header.getUint32(0, true);
  return {
    index,
    camera: (index & ~REFERENCE_BIT) >>> 0,
    reference: (index & REFERENCE_BIT) !== 0,
    number: header.getUint32(4, true),
    age_ms: header.getFloat64(16, true) - header.getFloat64(8, true),
    jpeg: new Blob([new Uint8Array(bytes, HEADER_BYTES)], { type: "image/jpeg" }),
  };
}
