import { LightningElement, api, wire } from 'lwc';
import LightningConfirm from 'lightning/confirm';
import { graphql } from 'lightning/graphql';
import { NavigationMixin } from 'lightning/navigation';
import { getFieldValue, getRecord, notifyRecordUpdateAvailable, updateRecord } from 'lightning/uiRecordApi';
import { readError } from 'c/dripErrors';
import { FIELDS, OPTED_OUT } from './fields';
import { SHOWN, TOUCHES, readTouches } from './touches';

const BADGES = {
    Queued: 'slds-badge',
    Active: 'slds-badge slds-theme_success',
    Held: 'slds-badge slds-theme_warning',
    Paused: 'slds-badge slds-theme_warning',
    Finished: 'slds-badge slds-badge_inverse',
    Stopped: 'slds-badge slds-badge_inverse',
    Refused: 'slds-badge slds-theme_error'
};
const LIVE = new Set(['Queued', 'Active', 'Held', 'Paused']);
const SOON = 'crmdrip answers here within a minute or two. Press Refresh to see it.';

/**
 * A contact's or lead's sequence at a glance: status, reason, next touch, the thread so far, and buttons that do what
 * ticking Drip Enrolled and setting Drip Paused Until by hand would do. The daemon decides; this only writes the fields
 * that people write.
 */
export default class DripPanel extends NavigationMixin(LightningElement) {
    @api recordId;
    @api objectApiName;

    announcement = '';
    problem = '';
    busy = false;
    pausing = false;
    pauseUntil = null;
    chosen = null;

    sequenceFilter = { criteria: [{ fieldPath: 'Drip_Status__c', operator: 'eq', value: 'Live' }] };
    sequenceDisplay = { primaryField: 'Name', additionalFields: ['Drip_Public_Name__c'] };

    record;
    recordProblem = '';
    touches;
    touchesProblem = '';
    _refreshTouches;

    get fields() {
        return Object.values(FIELDS[this.objectApiName] ?? {});
    }

    get optionalFields() {
        return [OPTED_OUT[this.objectApiName]].filter(Boolean);
    }

    get variables() {
        return { person: this.recordId };
    }

    @wire(getRecord, { recordId: '$recordId', fields: '$fields', optionalFields: '$optionalFields' })
    takeRecord({ data, error }) {
        if (data) {
            this.record = data;
            this.recordProblem = '';
        } else if (error) {
            this.record = undefined;
            this.recordProblem = `${readError(error)} If fields are hidden from you, ask an admin for the permission set Drip Rep.`;
        }
    }

    @wire(graphql, { query: TOUCHES, variables: '$variables' })
    takeTouches({ data, errors, refresh }) {
        this._refreshTouches = refresh;
        if (data) {
            this.touches = readTouches(data);
            this.touchesProblem = '';
        } else if (errors) {
            this.touches = undefined;
            this.touchesProblem = `The thread can't be shown: ${readError(errors)} The record's activity timeline has it.`;
        }
    }

    // --- what is shown ---

    get loading() {
        return !this.record && !this.recordProblem;
    }

    get status() {
        return this._value('status') || 'Not in a sequence';
    }

    get badge() {
        return BADGES[this._value('status')] ?? 'slds-badge';
    }

    get reason() {
        return this._value('reason');
    }

    get enrolled() {
        return this._value('enrolled') === true;
    }

    get running() {
        return this.enrolled && (!this._value('status') || LIVE.has(this._value('status')));
    }

    get facts() {
        const fact = (label, value, moment = false) => ({ label, value, moment });
        return [
            fact('Sequence', this._value('sequenceName')),
            fact('Step', this._value('step')),
            fact('Next touch', this.enrolled ? this._value('nextTouch') : null, true),
            fact('Last touch', this._value('lastTouch'), true),
            fact('Replied', this._value('repliedAt'), true),
            fact('Paused until', this.paused ? this._value('pausedUntil') : null, true),
            fact('Out of office until', this.away ? this._value('outUntil') : null, true)
        ].filter((one) => one.value);
    }

    get optedOut() {
        const field = OPTED_OUT[this.objectApiName];
        return Boolean(this.record && field && getFieldValue(this.record, field));
    }

    get paused() {
        return isAhead(this._value('pausedUntil'));
    }

    get away() {
        return isAhead(this._value('outUntil'));
    }

    get waitsForApproval() {
        return this.running && !this._value('approved') && (this.reason ?? '').startsWith('Waiting for approval');
    }

    get canEnroll() {
        return Boolean(this.record) && !this.enrolled && !this.optedOut;
    }

    get canPause() {
        return this.enrolled && !this.paused && !this.pausing;
    }

    get canResume() {
        return this.enrolled && this.paused;
    }

    get sequence() {
        return this.chosen ?? this._value('sequence');
    }

    get nothingChosen() {
        return this.busy || !this.sequence;
    }

    get noDate() {
        return this.busy || !this.pauseUntil;
    }

    get earliest() {
        return new Date().toISOString();
    }

    get hasTouches() {
        return Boolean(this.touches?.length);
    }

    get noTouches() {
        return this.touches?.length === 0;
    }

    get cutOff() {
        return this.touches?.length === SHOWN ? `The newest ${SHOWN} are shown; older ones are on the activity timeline.` : '';
    }

    // --- what people do ---

    choose(event) {
        this.chosen = event.detail.recordId;
    }

    setPauseUntil(event) {
        this.pauseUntil = event.detail.value;
    }

    openPause() {
        this.pausing = true;
        this.pauseUntil = null;
    }

    closePause() {
        this.pausing = false;
    }

    enroll() {
        return this._write({ sequence: this.sequence, enrolled: true }, `Drip Enrolled is ticked. ${SOON}`);
    }

    async pause() {
        if (!isAhead(this.pauseUntil)) {
            this.problem = 'Choose a time in the future.';
            return;
        }
        await this._write({ pausedUntil: this.pauseUntil }, `Paused. Nothing goes out before that time. ${SOON}`);
    }

    resume() {
        return this._write({ pausedUntil: null }, `The pause is lifted. ${SOON}`);
    }

    approve() {
        return this._write({ approved: true }, `Approved. The step goes out at the next opening. ${SOON}`);
    }

    async stop() {
        const sure = await LightningConfirm.open({
            label: 'Stop the sequence?',
            message: 'No further email goes out to this person. Starting again begins a new run, if the sequence allows one.',
            theme: 'warning'
        });
        if (sure) {
            await this._write({ enrolled: false }, `Drip Enrolled is unticked: no further email goes out. ${SOON}`);
        }
    }

    async refresh() {
        this.problem = '';
        await Promise.all([
            notifyRecordUpdateAvailable([{ recordId: this.recordId }]),
            this._refreshTouches?.()
        ]);
        this.announcement = 'Refreshed.';
    }

    openTouch(event) {
        this[NavigationMixin.Navigate]({
            type: 'standard__recordPage',
            attributes: { recordId: event.currentTarget.dataset.id, objectApiName: 'Task', actionName: 'view' }
        });
    }

    // --- within ---

    _value(word) {
        const field = FIELDS[this.objectApiName]?.[word];
        return this.record && field ? getFieldValue(this.record, field) : undefined;
    }

    async _write(values, said) {
        const fields = { Id: this.recordId };
        for (const [word, value] of Object.entries(values)) {
            fields[FIELDS[this.objectApiName][word].fieldApiName] = value;
        }
        this.busy = true;
        this.problem = '';
        this.announcement = '';
        try {
            await updateRecord({ fields });
            this.announcement = said;
            this.pausing = false;
            this.chosen = null;
        } catch (error) {
            this.problem = readError(error);
        } finally {
            this.busy = false;
        }
    }
}

function isAhead(moment) {
    return Boolean(moment) && new Date(moment) > new Date();
}
