import { LightningElement, wire } from 'lwc';
import LightningConfirm from 'lightning/confirm';
import { gql, graphql } from 'lightning/graphql';
import { getObjectInfo } from 'lightning/uiObjectInfoApi';
import { updateRecord } from 'lightning/uiRecordApi';
import CONTROL from '@salesforce/schema/Drip_Control__c';
import BRAKE from '@salesforce/schema/Drip_Control__c.Drip_Brake__c';
import { readError } from 'c/dripErrors';

// The oldest, should there ever be two: it is the one the daemon reads.
const CONTROL_RECORD = gql`
    query dripControl {
        uiapi {
            query {
                Drip_Control__c(orderBy: { CreatedDate: { order: ASC } }, first: 1) {
                    edges {
                        node {
                            Id
                            brake: Drip_Brake__c {
                                value
                            }
                            state: Drip_State__c {
                                value
                            }
                            heartbeat: Drip_Heartbeat__c {
                                value
                            }
                        }
                    }
                }
            }
        }
    }
`;

const CONFIRMED = 'The emergency brake is pulled';

/** The emergency brake: one box that stops every email of every sequence, and the daemon's own word that it did. */
export default class DripBrake extends LightningElement {
    announcement = '';
    problem = '';
    busy = false;
    editable = false;

    control;
    asked = false;
    _refresh;

    @wire(graphql, { query: CONTROL_RECORD })
    takeControl({ data, errors, refresh }) {
        this._refresh = refresh;
        if (data) {
            this.asked = true;
            this.control = data.uiapi.query.Drip_Control__c.edges[0]?.node;
            this.problem = '';
        } else if (errors) {
            this.asked = true;
            this.control = undefined;
            this.problem = `The brake can't be shown: ${readError(errors)} Ask an admin for the permission set Drip Rep.`;
        }
    }

    @wire(getObjectInfo, { objectApiName: CONTROL })
    takeInfo({ data }) {
        this.editable = Boolean(data?.fields?.[BRAKE.fieldApiName]?.updateable);
    }

    get loading() {
        return !this.asked;
    }

    get missing() {
        return this.asked && !this.control && !this.problem;
    }

    get pulled() {
        return Boolean(this.control?.brake.value);
    }

    get state() {
        return this.control?.state.value;
    }

    get heartbeat() {
        const { value } = this.control?.heartbeat ?? {};
        return value ? new Date(value) : null;
    }

    get headline() {
        return this.pulled ? 'The emergency brake is pulled' : 'The emergency brake is released';
    }

    get confirmed() {
        return (this.state ?? '').startsWith(CONFIRMED) === this.pulled;
    }

    get box() {
        return this.pulled ? 'slds-box slds-box_x-small slds-theme_error' : 'slds-box slds-box_x-small';
    }

    get confirmation() {
        if (!this.state) {
            return 'crmdrip has not written here yet. It confirms once it runs.';
        }
        return this.confirmed ? `Confirmed by crmdrip: ${this.state}` : 'Not confirmed by crmdrip yet. Press Refresh in a minute.';
    }

    get label() {
        return this.pulled ? 'Release the Brake' : 'Pull the Emergency Brake';
    }

    get variant() {
        return this.pulled ? 'brand' : 'destructive';
    }

    async toggle() {
        const pull = !this.pulled;
        const sure = await LightningConfirm.open({
            label: pull ? 'Pull the emergency brake?' : 'Release the emergency brake?',
            message: pull
                ? 'No email of any sequence goes out until it is released. Everybody in a sequence is held, and goes on afterwards.'
                : 'Sending goes on, under the limits of each sequence.',
            theme: pull ? 'error' : 'warning'
        });
        if (!sure) {
            return;
        }
        this.busy = true;
        this.problem = '';
        this.announcement = '';
        try {
            await updateRecord({ fields: { Id: this.control.Id, [BRAKE.fieldApiName]: pull } });
            await this._refresh?.();
            this.announcement = pull
                ? 'The brake is pulled. crmdrip reads it before the next email goes out.'
                : 'The brake is released.';
        } catch (error) {
            this.problem = readError(error);
        } finally {
            this.busy = false;
        }
    }

    async refresh() {
        await this._refresh?.();
        this.announcement = 'Refreshed.';
    }
}
